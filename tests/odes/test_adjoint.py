"""The adjoint equation against closed forms, against autograd through the steps, and against torchdiffeq."""

import pytest
import torch
from gradient_problems import (
    WAYS_BACK,
    Pulsed,
    assert_same,
    gradients_of,
    logistic,
    per_sample_logistic,
    starts,
    weighted,
)
from ode_problems import ADAPTIVE, FIXED, double, slope, times
from torch.autograd import gradcheck
from torchdiffeq import odeint_adjoint

from helpers.fields import ControlledField, ZeroOrderHold
from helpers.odes import solve

TIGHT = {"rtol": 1e-11, "atol": 1e-12}
BY_ADJOINT = ("adjoint", "backsolve")


@pytest.mark.parametrize("gradient", ["direct", *WAYS_BACK])
def test_gradcheck(gradient):
    """By start, parameters of each sample, a shared one, and times of each sample."""
    y0, rate, _ = per_sample_logistic()
    shared, t = (
        double(0.7).requires_grad_(),
        double([0.0, 0.4, 1.0], [1.0, 0.3, 0.2], [0.5, 0.6, 0.9]).requires_grad_(),
    )
    capacity = double([1.0, 3.0], [2.0, 1.5], [1.0, 1.0])

    def outputs(y0, rate, shared, t):
        return solve(logistic(rate * shared, capacity), y0, t, method="dopri8", gradient=gradient, **TIGHT).y

    assert gradcheck(outputs, (y0, rate, shared, t), eps=1e-4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("gradient", ["direct", *WAYS_BACK])
def test_a_linear_equation_to_ten_digits(gradient):
    """y = exp(A t) y0: the derivatives of matrix exponentials, at several times."""
    A, y0 = double([-0.3, 1.0], [-1.2, 0.1]).requires_grad_(), starts()
    t = double(0.0, 0.5, 1.7)
    exact = torch.einsum("tij,bj->bti", torch.stack([torch.matrix_exp(A * time) for time in t]), y0)
    answers = solve(
        lambda t, y: y @ A.mT, y0, t, method="dopri8", gradient=gradient, rtol=1e-13, atol=1e-13
    ).y
    actual = torch.autograd.grad(weighted(answers), (y0, A))
    expected = torch.autograd.grad(weighted(exact), (y0, A))
    assert_same(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
@pytest.mark.parametrize("method", ADAPTIVE)
def test_it_comes_close_to_direct_as_fast_as_the_tolerance_falls(gradient, method):
    """As the answers' own error does, which is of order 1 in rtol."""
    field, y0, t = Pulsed(), starts(), times(0.0, 3.0, 4)
    inputs = (y0, *field.parameters())
    exact = gradients_of(inputs, "direct", field, y0, t, method="dopri8", rtol=1e-13, atol=1e-13)
    tolerances = {"heun": (1e-2, 1e-3, 1e-4), "bosh3": (1e-4, 1e-5, 1e-6)}
    errors, rtols = [], tolerances.get(method, (1e-6, 1e-7, 1e-8, 1e-9, 1e-10))
    for rtol in rtols:
        found = gradients_of(inputs, gradient, field, y0, t, method=method, rtol=rtol, atol=rtol)
        errors.append(max((a - b).abs().max().item() for a, b in zip(found, exact, strict=True)))
    assert slope(rtols, errors) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
@pytest.mark.parametrize("method, order", [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_with_fixed_steps_it_has_the_order_of_the_method(gradient, method, order):
    field, y0, t = Pulsed(), starts(), times(0.0, 2.0, 3)
    inputs = (y0, *field.parameters())
    errors, steps = [], (0.1, 0.05, 0.025)
    exact = gradients_of(inputs, "direct", field, y0, t, method="dopri8", rtol=1e-13, atol=1e-13)
    for step in steps:
        found = gradients_of(inputs, gradient, field, y0, t, method=method, step=step)
        errors.append(max((a - b).abs().max().item() for a, b in zip(found, exact, strict=True)))
    assert slope(steps, errors) == pytest.approx(order, abs=0.4)


@pytest.mark.parametrize("gradient", WAYS_BACK)
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_observations_of_each_sample_some_missing(gradient, per_sample):
    """A mask, padding, times of each sample, an observation function with parameters, and noise."""
    t = double([0.0, 0.3, 1.1, 1.5, 2.2], [0.1, 0.2, 0.9, 0.9, 0.9], [0.0, 0.0, 0.4, 3.0, 3.0])
    mask = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0]], dtype=torch.bool)
    field, y0, gain = Pulsed(), starts(), double([1.0, -0.5], [0.2, 2.0]).requires_grad_()
    covariance = double([0.5, 0.2], [0.2, 0.4])
    inputs = (y0, gain, *field.parameters())

    def outcome(gradient):
        how = {"per_sample": per_sample, **TIGHT}
        lengths = torch.tensor([5, 3, 4])
        y = solve(field, y0, t, lengths=lengths, gradient=gradient, **how).y
        noise = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)
        loss = -noise.log_prob(0.5 - torch.tanh(y @ gain.mT))[mask].sum()
        return torch.autograd.grad(loss, inputs)

    assert_same(outcome(gradient), outcome("direct"), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("gradient", WAYS_BACK)
def test_a_running_loss_is_one_more_state(gradient):
    """∫ (θ y² + t) dt for y' = -k y, in closed form: θ y0² (1 - exp(-2 k T)) / 2k + T²/2."""
    y0, rate, theta = starts(), double(0.8).requires_grad_(), double(1.4).requires_grad_()
    end = 1.7

    def field(t, state):
        y, _ = state
        return -rate * y, theta * y.square().sum(1) + t

    zero = torch.zeros(3, dtype=torch.float64)
    _, loss = solve(field, (y0, zero), double(0.0, end), gradient=gradient, **TIGHT).y
    exact = theta * y0.square().sum(1) * (1 - torch.exp(-2 * rate * end)) / (2 * rate) + end**2 / 2
    torch.testing.assert_close(loss[:, -1], exact, rtol=1e-9, atol=0)
    inputs = (y0, rate, theta)
    actual, expected = (torch.autograd.grad(x.sum(), inputs) for x in (loss[:, -1], exact))
    assert_same(actual, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("gradient", WAYS_BACK)
@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_it_equals_torchdiffeqs_adjoint(gradient, way):
    field, y0, t = Pulsed(), starts(5), way * times(0.0, 3.0, 9)
    inputs = (y0, *field.parameters())
    theirs = odeint_adjoint(field, y0, t, method="dopri5", rtol=1e-10, atol=1e-11).movedim(0, 1)
    expected = (theirs, *torch.autograd.grad(weighted(theirs), inputs))
    actual = gradients_of(inputs, gradient, field, y0, t, rtol=1e-10, atol=1e-11)
    assert_same(actual, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
@pytest.mark.parametrize("method", ["dopri8", "rk4"])
def test_the_interpolant(gradient, method):
    field, y0 = Pulsed(), starts()
    inputs, between = (y0, *field.parameters()), double(0.05, 1.9, 1.3, 1.3, 0.0, 2.0)
    how = {"method": method, "step": 0.05} if method in FIXED else {"method": method, **TIGHT}

    def outcome(gradient):
        solution = solve(field, y0, times(0.0, 2.0, 3), gradient=gradient, **how)
        answers = solution.interpolant(between)
        return answers, *torch.autograd.grad(weighted(answers) + weighted(solution.y), inputs)

    assert_same(outcome(gradient), outcome("direct"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
def test_a_driven_field_with_breaks(gradient):
    levels, rate = double([0.0], [1.0], [-0.5], [0.3]), double(0.8).requires_grad_()
    field = ControlledField(lambda t, y, u: u - rate * y, ZeroOrderHold(double(0.0, 0.8, 1.4, 2.0), levels))
    y0, t = starts(), times(0.0, 3.0, 6)
    expected = gradients_of((y0, rate), "direct", field, y0, t, **TIGHT)
    assert_same(gradients_of((y0, rate), gradient, field, y0, t, **TIGHT), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
def test_single_precision(gradient):
    field, y0, t = Pulsed(torch.float32), starts(dtype=torch.float32), torch.linspace(0, 2, 5)
    inputs = (y0, *field.parameters())
    how = {"rtol": 1e-4, "atol": 1e-5}
    expected = gradients_of(inputs, "direct", field, y0, t, **how)
    actual = gradients_of(inputs, gradient, field, y0, t, **how)
    assert all(each.dtype == torch.float32 for each in actual)
    assert_same(actual, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
def test_a_sample_that_fails_leaves_the_others_their_gradients(gradient):
    """y' = r y² ends at t = 1/(r y0)."""
    y0, rate, t = double([1.0], [0.25]).requires_grad_(), double(1.0).requires_grad_(), double(0.0, 0.5, 1.5)
    how = {"gradient": gradient, "on_failure": "return", "rtol": 1e-9}
    y = solve(lambda t, y: rate * y.square(), y0, t, **how).y
    by_y0, by_rate = torch.autograd.grad(y.nan_to_num(0.0).sum(), (y0, rate))
    reached = torch.tensor([[True, True, False], [True, True, True]])
    share = torch.where(reached, (1 - t * y0.detach()) ** -2, 0.0)  # of y0 / (1 - r t y0) at r = 1
    torch.testing.assert_close(by_y0[:, 0], share.sum(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(by_rate[0], (share * t * y0.detach() ** 2).sum(), rtol=1e-6, atol=0)


def test_each_variable_has_its_own_scale():
    """Variables in units that differ by 1e12: no gradient loses digits to the other's."""
    units = double(1e6, 1e-6)
    field, start = Pulsed(), starts()

    def outcome(units, gradient):
        y0 = (start * units).detach().requires_grad_()
        atol = 1e-10 * units
        y = solve(
            lambda t, y: units * field(t, y / units), y0, times(0.0, 2.0, 4), gradient=gradient, atol=atol
        ).y
        return torch.autograd.grad(weighted(y / units), (y0, *field.parameters()))

    plain, scaled = outcome(torch.ones_like(units), "direct"), outcome(units, "adjoint")
    torch.testing.assert_close(scaled[0] * units, plain[0], rtol=1e-4, atol=1e-5)
    assert_same(scaled[1:], plain[1:], rtol=1e-4, atol=1e-4)


# When it breaks.


def forgetting(gradient, rtol=1e-8):
    """The gradient by λ = 100 of ∫ y dt for y' = -λ (y - cos t), y(0) = 1: found, and in closed form."""
    rate = double(100.0).requires_grad_()

    def field(t, state):
        slope = -rate * (state[0] - torch.cos(t)[:, None])
        return slope, state[0][:, 0]

    y = solve(field, (double([1.0]), double(0.0)), double(0.0, 1.0), gradient=gradient, rtol=rtol).y
    (found,) = torch.autograd.grad(y[1][0, -1], rate)
    # y = λ (λ cos t + sin t) / (λ² + 1) + c exp(-λ t), c = 1 - λ² / (λ² + 1)
    k, one = double(100.0).requires_grad_(), double(1.0)
    c = 1 - k**2 / (k**2 + 1)
    exact = k * (k * one.sin() + 1 - one.cos()) / (k**2 + 1) + c * (1 - torch.exp(-k)) / k
    return found.item(), torch.autograd.grad(exact, k)[0].item()


@pytest.mark.parametrize("gradient", ["replay", "adjoint"])
def test_a_system_that_forgets_is_no_trouble_to(gradient):
    found, exact = forgetting(gradient)
    assert found == pytest.approx(exact, rel=1e-3)


def test_backsolve_fails_where_a_system_forgets():
    """Going back the state departs as exp(100 t): the gradient is nonsense, or there is an error."""
    try:
        found, exact = forgetting("backsolve")
    except RuntimeError as error:
        assert "the adjoint of sample 0 failed" in str(error)
    else:
        assert abs(found - exact) > abs(exact)


@pytest.mark.parametrize("gradient", BY_ADJOINT)
def test_an_adjoint_that_does_not_come_back_says_so(gradient):
    """The field is finite, its derivative is not: ∞ · 0."""
    y0 = double([2.0]).requires_grad_()
    y = solve(lambda t, y: -y + (0 * y).sqrt(), y0, double(0.0, 0.1), gradient=gradient).y
    message = r"the adjoint of sample 0 failed at t = 0\.1, on its way back to 0, after 0 steps.*replay"
    with pytest.raises(RuntimeError, match=message):
        y.sum().backward()


@pytest.mark.parametrize("gradient", BY_ADJOINT)
def test_more_answers_than_steps_are_allowed(gradient):
    y0 = double([1.0]).requires_grad_()
    y = solve(lambda t, y: -y, y0, times(0.0, 1.0, 60), gradient=gradient, max_steps=20, rtol=1e-8).y
    (found,) = torch.autograd.grad(y.sum(), y0)
    torch.testing.assert_close(found, torch.exp(-times(0.0, 1.0, 60)).sum().reshape(1, 1), rtol=1e-6, atol=0)
