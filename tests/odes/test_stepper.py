"""One step against the definition, a closed form and SciPy's own step."""

import numpy as np
import pytest
import torch
from scipy.integrate import DOP853, RK23, RK45

from helpers.odes import TABLEAUX
from helpers.odes.loop import initial_state
from helpers.odes.stepper import ExplicitStepper, first_slope


def double(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def swinging(t, y):
    """Non-linear and non-autonomous."""
    return torch.stack((y[:, 1], -torch.sin(y[:, 0]) + torch.cos(2 * t)), dim=-1)


def one_step(method, field, t, y, h):
    slope = first_slope(field, t, y) if TABLEAUX[method].first_same_as_last else None
    return ExplicitStepper(field, TABLEAUX[method])(initial_state(t, t + h, y, slope))


@pytest.mark.parametrize("method", TABLEAUX)
def test_a_linear_field_gives_taylors_polynomial_to_the_methods_order(method):
    """y₁ = Σ_k zᵏ / k! + O(z^(p+1)): with z = 0.1 the rest is far smaller than the term of order p."""
    z = 0.1
    y = one_step(method, lambda t, y: y, double(0.0), double([1.0]), double(z)).y.item()
    exact = np.exp(z)
    next_order = TABLEAUX[method].order + 1
    assert abs(y - exact) < 5 * z**next_order / np.prod(range(1, next_order + 1)) + 1e-15


@pytest.mark.parametrize("method, theirs", [("bosh3", RK23), ("dopri5", RK45), ("dopri8", DOP853)])
def test_the_same_step_as_scipy(method, theirs):
    t, y, h = double(0.3), double([0.4, -1.2]), 0.25
    solver = theirs(
        lambda t, y: swinging(double(t), torch.from_numpy(y)[None])[0].numpy(),
        0.3,
        y[0].numpy(),
        10.0,
        first_step=h,
        max_step=h,
        rtol=1e-1,
        atol=1.0,
    )
    solver.step()
    step = one_step(method, swinging, t, y, double(h))
    np.testing.assert_allclose(step.y[0].numpy(), solver.y, rtol=1e-14)
    np.testing.assert_allclose(step.slope[0].numpy(), solver.f, rtol=1e-14)


@pytest.mark.parametrize("method", TABLEAUX)
def test_each_sample_has_its_own_time_and_step(method):
    t, h = double(0.0, 0.7, -3.0), double(0.1, -0.2, 0.3)
    y = double([1.0, 0.0], [0.2, -0.5], [2.0, 1.0])
    together = one_step(method, swinging, t, y, h)
    for i in range(3):
        alone = one_step(method, swinging, t[i : i + 1], y[i : i + 1], h[i : i + 1])
        torch.testing.assert_close(together.y[i], alone.y[0], rtol=1e-15, atol=0)
        for ours, theirs in zip(together.errors, alone.errors, strict=True):
            torch.testing.assert_close(ours[i], theirs[0], rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("method", TABLEAUX)
def test_a_step_of_zero_stays_exactly_with_no_error(method):
    y = double([0.3, 1e-300], [1e200, -2.0])
    step = one_step(method, swinging, double(0.1, 0.2), y, double(0.0, 0.0))
    assert step.y.equal(y)
    assert all((error == 0).all() for error in step.errors)


@pytest.mark.parametrize("method", [name for name, tableau in TABLEAUX.items() if tableau.adaptive])
@pytest.mark.parametrize("stage", ["second", "last"])
def test_no_infinity_escapes_the_error(method, stage):
    """Even if it arises in the very last stage, whose weight in the error may be 0."""
    infinite = 2 if stage == "second" else len(TABLEAUX[method].c)
    calls = []

    def field(t, y):
        calls.append(t)
        return torch.full_like(y, torch.inf) if len(calls) == infinite else -y

    step = one_step(method, field, double(0.0), double([1.0, 2.0]), double(0.1))
    assert all(not error.isfinite().any() for error in step.errors)


def test_time_is_handed_over_in_the_states_dtype():
    seen = []

    def field(t, y):
        seen.append(t)
        return -y

    one_step("tsit5", field, double(1.0, 2.0), torch.ones(2, 3), double(0.5, 0.25))
    assert all(t.dtype == torch.float32 and t.shape == (2,) for t in seen)
    nodes = double(*TABLEAUX["tsit5"].c)[:, None]
    expected = (double(1.0, 2.0) + nodes * double(0.5, 0.25)).float()
    torch.testing.assert_close(torch.stack(seen), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3)], ids=str)
def test_states_of_any_shape(shape):
    y = torch.linspace(-1, 1, 5 * int(np.prod(shape)), dtype=torch.float64).reshape(5, *shape)
    t, h = torch.linspace(0, 1, 5).double(), torch.linspace(0.1, 0.2, 5).double()
    step = one_step("dopri5", lambda t, y: -(y**2), t, y, h)
    assert step.y.shape == y.shape
    closed = y / (1 + y * h.reshape(-1, *[1] * len(shape)))
    torch.testing.assert_close(step.y, closed, rtol=1e-5, atol=1e-6)


def test_stages_of_the_dense_output_are_the_fields_values():
    """On y' = 6t⁵ the stage at node c is h f(t + c h), whatever the other stages."""
    tableau = TABLEAUX["dopri8"]
    field, t, h = lambda t, y: 6 * t[:, None] ** 5 + 0 * y, double(1.0), double(0.5)
    step = one_step("dopri8", field, t, double([1.0]), h)
    stages = ExplicitStepper(field, tableau).dense_stages(t, double([1.0]), h, step.increments)
    expected = [0.5 * 6 * (1 + 0.5 * c) ** 5 for c in tableau.dense_c]
    torch.testing.assert_close(torch.cat(stages)[:, 0], double(*expected), rtol=1e-14, atol=0)


def test_gradient_of_a_step():
    y = double([0.3, -0.4], [1.0, 0.2]).requires_grad_()
    rate = double(0.7, 1.3).requires_grad_()

    def stepped(y, rate):
        return one_step(
            "bosh3", lambda t, y: torch.sin(y) * rate[:, None], double(0, 1), y, double(0.3, 0.1)
        ).y

    assert torch.autograd.gradcheck(stepped, (y, rate))
    assert torch.autograd.gradgradcheck(stepped, (y, rate))
