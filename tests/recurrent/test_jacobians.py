"""jacobian_product against autograd, mpmath and closed forms of ten thousand steps."""

import math

import mpmath
import pytest
import torch
from protocol_cells import JoinedLSTM, SquareRoot

from helpers.recurrent import (
    GRU,
    LSTM,
    LeakyRNN,
    MinGRU,
    VanillaRNN,
    jacobian_product,
    keep_orthogonal,
    orthogonal_,
    spectral_radius_,
    step_jacobians,
)
from helpers.series import IrregularBatch

LONG = 10_000


def linear_network(matrix, device="cpu"):
    """h_t = W h_{t-1}, and no input."""
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    model = VanillaRNN(0, len(matrix), "linear", bias=False, dtype=torch.float64, device=device)
    with torch.no_grad():
        model.W_hh.copy_(matrix)
    return model


def no_input(steps, device="cpu"):
    return torch.zeros(1, steps, 0, dtype=torch.float64, device=device)


def random_input(series, steps, seed=0):
    return torch.randn(series, steps, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "model",
    [
        VanillaRNN(2, 6, dtype=torch.float64),
        LeakyRNN(2, 6, "relu", tau=3.0, dt=1.0, learn_tau=True, dtype=torch.float64),
        JoinedLSTM(2, 3),
        LSTM(2, 3, dtype=torch.float64),
        GRU(2, 6, dtype=torch.float64),
        GRU(2, 6, reset="before", dtype=torch.float64),
        MinGRU(2, 6, dtype=torch.float64),
    ],
    ids=[
        "tanh",
        "leaky relu",
        "LSTM through the protocol",
        "LSTM",
        "GRU, reset after",
        "GRU, reset before",
        "minimal GRU",
    ],
)
def test_product_and_steps_are_autograds(model, monkeypatch):
    monkeypatch.setattr("helpers.recurrent.jacobians.ENTRIES_AT_ONCE", 3 * 2 * 36)  # three steps at a time
    x = random_input(2, 8)

    def end(h, first, last):
        for p in model.project(x)[:, first:last].unbind(1):
            h = model.step(h, p)
        return h

    def jacobian(first, last):
        """∂h_last/∂h_first, (B, S, S): a whole-batch Jacobian, of which the blocks b = b are kept."""
        h = end(torch.zeros(2, 6, dtype=torch.float64), 0, first).detach()
        full = torch.autograd.functional.jacobian(lambda h: end(h, first, last), h)
        return torch.stack([full[b, :, b] for b in range(2)])

    steps = step_jacobians(model, x)
    for t in range(8):
        torch.testing.assert_close(steps[:, t], jacobian(t, t + 1), rtol=1e-12, atol=1e-14)
    for k, T in ((0, 8), (2, 7), (4, 4)):
        product = jacobian_product(model, x, k, T)
        expected = jacobian(k, T)
        torch.testing.assert_close(product.matrix, expected, rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(
            product.singular_values, torch.linalg.svdvals(expected), rtol=1e-10, atol=1e-13
        )


@pytest.mark.parametrize("units, steps", [(1, 20), (5, 100), (7, 200)])
def test_every_singular_value_is_mpmaths(units, steps):
    """In floats the smallest is lost beside the largest: here they differ by up to a factor of e^500."""
    generator = torch.Generator().manual_seed(3)
    model = VanillaRNN(2, units, dtype=torch.float64, generator=generator)
    spectral_radius_(model.W_hh, 1.6, generator=generator)
    x = random_input(1, steps)
    found = jacobian_product(model, x, 0).log_singular_values[0].tolist()
    with mpmath.workdps(400):
        product = mpmath.eye(units)
        for jacobian in step_jacobians(model, x)[0].tolist():
            product = mpmath.matrix(jacobian) * product
        squares = [abs(square) for square in mpmath.eigsy(product * product.T, eigvals_only=True)]
        expected = sorted((float(mpmath.log(square) / 2) for square in squares), reverse=True)
    assert found == pytest.approx(expected, abs=1e-11)
    if units == 7:
        assert expected[0] - expected[-1] > 100


def test_orthogonal_network_neither_shrinks_nor_stretches_in_ten_thousand_steps(device, generator):
    model = VanillaRNN(0, 6, "linear", dtype=torch.float64, device=device)
    orthogonal_(model.W_hh, generator=generator)
    keep_orthogonal(model)
    product = jacobian_product(model, no_input(LONG, device), 0)
    assert (product.singular_values - 1).abs().max() < 1e-8


def test_diagonal_network_gives_powers_beyond_the_float_range(device):
    """1.5^10⁴ = 10^1761 and 0.5^10⁴ = 10^-3010, though the smallest comes first."""
    model = linear_network(torch.diag(torch.tensor([0.5, 1.0, 1.5])), device)
    product = jacobian_product(model, no_input(LONG, device), 0)
    expected = [LONG * math.log(factor) for factor in (1.5, 1.0, 0.5)]
    assert product.log_singular_values[0].tolist() == pytest.approx(expected, rel=1e-12, abs=1e-8)


def test_coupled_growth_and_decay():
    """A = [[a, 1], [0, d]]: Aⁿ = [[aⁿ, (aⁿ - dⁿ)/(a - d)], [0, dⁿ]], σ₁σ₂ = (ad)ⁿ, σ₁² + σ₂² = ‖Aⁿ‖²."""
    first, second = 0.5, 1.5
    product = jacobian_product(linear_network([[first, 1.0], [0.0, second]]), no_input(LONG), 0)
    with mpmath.workdps(50):
        a, d = mpmath.mpf(first) ** LONG, mpmath.mpf(second) ** LONG
        frobenius = a**2 + d**2 + ((a - d) / (first - second)) ** 2
        largest = float(mpmath.log(frobenius) / 2)  # σ₂² is smaller by 10^-9500
    expected = [largest, LONG * math.log(first * second) - largest]
    assert product.log_singular_values[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_transient_growth_of_a_jordan_block():
    """A = [[λ, c], [0, λ]]: σ₁σ₂ = λ^2n, σ₁² + σ₂² = 2λ^2n + (n c λ^(n-1))²; it grows first, though λ < 1."""
    decay, coupling = 0.9, 5.0
    for n in (1, 10, LONG):
        product = jacobian_product(linear_network([[decay, coupling], [0.0, decay]]), no_input(n), 0)
        skew = math.log(n * coupling / decay)
        largest = n * math.log(decay) + math.asinh(math.exp(skew) / 2)
        expected = [largest, 2 * n * math.log(decay) - largest]
        assert product.log_singular_values[0].tolist() == pytest.approx(expected, rel=1e-10)
        assert (product.log_singular_values[0, 0] > 0) == (n < LONG)


def test_a_lost_dimension_has_singular_value_zero():
    model = VanillaRNN(0, 3, "relu", bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.W_hh.copy_(torch.tensor([[0.5, 0.25, 0.0], [0.0, 2.0, 0.0], [0.0, -1.0, 0.0]]))
    product = jacobian_product(model, no_input(50), 0, h0=torch.ones(1, 3, dtype=torch.float64))
    logs = product.log_singular_values[0].tolist()
    assert logs[2] == -math.inf and product.singular_values[0, 2] == 0
    assert logs[0] == pytest.approx(50 * math.log(2) + math.log(1 + 1 / 36) / 2, abs=1e-9)
    assert logs[0] + logs[1] == pytest.approx(0, abs=1e-9)  # 0.5^50 · 2^50


def test_each_series_has_its_own_product():
    model = VanillaRNN(2, 4, dtype=torch.float64)
    x = random_input(3, 30)
    together = jacobian_product(model, x, 5, 25).log_singular_values
    for b in range(3):
        alone = jacobian_product(model, x[b : b + 1], 5, 25).log_singular_values
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-10, atol=1e-10)


def test_results_follow_the_dtype_and_carry_no_gradient(device):
    model = VanillaRNN(2, 3, device=device)
    x = torch.ones(2, 5, 2, device=device)
    product = jacobian_product(model, x, 0)
    assert product.matrix.dtype == torch.float32 and not product.matrix.requires_grad
    assert product.matrix.device.type == device.type
    assert not step_jacobians(model, x).requires_grad


def test_saturated_units_of_a_float32_network_keep_their_tiny_derivatives():
    """8 φ' is about 4e-6 at every step: a product of eight is below the normal float32, and of forty none."""
    model = VanillaRNN(0, 2, bias=False)
    with torch.no_grad():
        model.W_hh.copy_(8 * torch.eye(2))
    found = jacobian_product(model, torch.zeros(1, 40, 0), 0, h0=torch.ones(1, 2)).log_singular_values
    one_step = step_jacobians(model, torch.zeros(1, 40, 0), h0=torch.ones(1, 2))[0, :, 0, 0].double()
    assert 0 < one_step.max() < 1e-5
    assert found[0].tolist() == pytest.approx([one_step.log().sum().item()] * 2, rel=1e-6)


def test_states_that_explode_after_the_product_do_no_harm():
    h0 = torch.ones(1, 1, dtype=torch.float64)
    product = jacobian_product(linear_network([[1e200]]), no_input(3), 0, 1, h0=h0)
    assert product.singular_values.item() == pytest.approx(1e200)


def irregular(series=3, steps=6):
    """Series of several lengths, with steps at which nothing was seen and NaN in the place of it."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([steps, 3, 0])
    valid = torch.arange(steps) < lengths[:, None]
    mask = (torch.rand(series, steps, 2, generator=generator) < 0.6) & valid[..., None]
    values = torch.where(mask, random_input(series, steps), torch.nan)
    times = torch.arange(steps, dtype=torch.float64).expand(series, steps)
    return IrregularBatch(times, values, mask, lengths)


@pytest.mark.parametrize("kind", ["IrregularBatch", "mask and lengths"])
def test_a_step_that_holds_the_state_has_the_identity(kind):
    model, batch = LeakyRNN(2, 4, tau=2.0, dt=1.0, dtype=torch.float64), irregular()
    given, how = batch, {}
    if kind != "IrregularBatch":
        given, how = batch.values, {"mask": batch.mask, "lengths": batch.lengths}
    h0 = torch.full((3, 4), 0.3, dtype=torch.float64)
    full = torch.autograd.functional.jacobian(lambda h: model(batch, h)[:, -1], h0)
    whole = torch.stack([full[b, :, b] for b in range(3)])
    steps = step_jacobians(model, given, h0=h0, **how)
    held = ~batch.mask.any(-1)
    assert 0 < held.sum() < held.numel()
    torch.testing.assert_close(steps[held], torch.eye(4).double().expand(int(held.sum()), 4, 4))
    in_turn = torch.eye(4, dtype=torch.float64)
    for jacobian in steps.unbind(1):
        in_turn = jacobian @ in_turn
    torch.testing.assert_close(in_turn, whole)
    torch.testing.assert_close(jacobian_product(model, given, 0, h0=h0, **how).matrix, whole)


def test_inference_mode_changes_nothing():
    model, x = VanillaRNN(2, 4, dtype=torch.float64), random_input(2, 5)
    keep_orthogonal(model)
    expected = step_jacobians(model, x), jacobian_product(model, x, 1).log_singular_values
    with torch.inference_mode():
        x = x.clone()
        h0 = torch.zeros(2, 4, dtype=torch.float64)
        found = step_jacobians(model, x, h0=h0), jacobian_product(model, x, 1, h0=h0).log_singular_values
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_argument_that_is_not_finite_is_named(bad):
    x, h0 = random_input(2, 3), torch.zeros(2, 4, dtype=torch.float64)
    spoilt_x, spoilt_h0 = x.clone(), h0.clone()
    spoilt_x[1, 2, 0], spoilt_h0[0, 3] = bad, bad
    model = VanillaRNN(2, 4, dtype=torch.float64)
    for tool in (step_jacobians, lambda *arguments, **named: jacobian_product(*arguments, 0, **named)):
        with pytest.raises(ValueError, match=rf"x must be finite: x\[1, 2, 0\] = {bad}"):
            tool(model, spoilt_x, h0=h0)
        with pytest.raises(ValueError, match=rf"h0 must be finite: h0\[0, 3\] = {bad}"):
            tool(model, x, h0=spoilt_h0)


@pytest.mark.parametrize("k, T", [(-1, 3), (3, 2), (0, 6)])
def test_steps_out_of_range_are_refused(k, T):
    message = f"k and T must be whole numbers with 0 <= k <= T <= 5, the steps of x: got {k} and {T}"
    with pytest.raises(ValueError, match=message):
        jacobian_product(VanillaRNN(2, 3), torch.ones(1, 5, 2), k, T)


def test_states_that_explode_are_refused():
    model = linear_network([[1e200]])
    h0 = torch.ones(1, 1, dtype=torch.float64)
    for tool in (step_jacobians, lambda *arguments, **named: jacobian_product(*arguments, 0, **named)):
        with pytest.raises(FloatingPointError, match=r"states must be finite: states\[0, 1, 0\] = inf"):
            tool(model, no_input(3), h0=h0)


def test_jacobians_that_are_not_finite_are_refused():
    with pytest.raises(FloatingPointError, match="the Jacobians must be finite"):
        jacobian_product(SquareRoot(), torch.ones(1, 3, 1), 0)
