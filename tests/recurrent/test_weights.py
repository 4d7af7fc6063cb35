"""Initialisations and constraints of W_hh."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations

from helpers.recurrent import (
    VanillaRNN,
    bound_spectral_norm,
    bound_spectral_radius,
    keep_orthogonal,
    orthogonal_,
    spectral_norm_,
    spectral_radius_,
)


def norm(matrix):
    return np.linalg.norm(matrix.detach().cpu().numpy(), 2)


def radius(matrix):
    return np.abs(np.linalg.eigvals(matrix.detach().cpu().numpy())).max()


def model_of(device, generator, units=12):
    return VanillaRNN(2, units, dtype=torch.float64, device=device, generator=generator)


def test_initial_values_have_the_stated_size(device, generator):
    weight = torch.empty(20, 20, dtype=torch.float64, device=device)
    orthogonal_(weight, 0.7, generator=generator)
    np.testing.assert_allclose((weight @ weight.T).cpu(), 0.49 * np.eye(20), atol=1e-14)
    assert radius(spectral_radius_(weight, 1.3, generator=generator)) == pytest.approx(1.3, rel=1e-12)
    assert norm(weight) > 1.5  # not normal
    assert norm(spectral_norm_(weight, 1.3, generator=generator)) == pytest.approx(1.3, rel=1e-12)


def test_what_stood_in_memory_does_not_matter(generator):
    weight = torch.full((5, 5), torch.nan, dtype=torch.float64)
    for fill in (orthogonal_, spectral_radius_, spectral_norm_):
        assert fill(weight.clone(), 1.0, generator=torch.Generator().manual_seed(0)).isfinite().all()


@pytest.mark.parametrize("size", [1e300, 1e-300, 1e40])
@pytest.mark.parametrize("fill", [orthogonal_, spectral_radius_, spectral_norm_])
def test_a_size_that_float32_cannot_hold_is_refused(fill, size):
    with pytest.raises(ValueError, match="(gain|radius|norm) must be a number that torch.float32 can hold"):
        fill(torch.zeros(3, 3), size)
    wide = fill(torch.zeros(3, 3, dtype=torch.float64), size)
    assert norm(wide / size) >= 1 - 1e-9


@pytest.mark.parametrize(
    "constrain",
    [
        pytest.param(keep_orthogonal, id="orthogonal"),
        pytest.param(lambda model: bound_spectral_norm(model, 0.9), id="norm"),
        pytest.param(lambda model: bound_spectral_radius(model, 0.9), id="radius"),
    ],
)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_weight_that_is_not_finite_cannot_be_constrained(constrain, bad):
    model = VanillaRNN(2, 3)
    with torch.no_grad():
        model.W_hh[2, 1] = bad
    with pytest.raises(ValueError, match=rf"W_hh must be finite: W_hh\[2, 1\] = {bad}"):
        constrain(model)
    assert type(model) is VanillaRNN


def test_half_precision_is_refused():
    weight = torch.zeros(3, 3, dtype=torch.float16)
    for fill in (orthogonal_, spectral_radius_, spectral_norm_):
        with pytest.raises(ValueError, match="weight must be a float32 or float64 tensor: got a"):
            fill(weight, 1.0)
    with pytest.raises(ValueError, match="W_hh must be a float32 or float64 tensor"):
        keep_orthogonal(VanillaRNN(2, 3, dtype=torch.bfloat16))


def test_initial_values_come_from_the_generator_and_fill_a_parameter():
    for fill in (orthogonal_, lambda w, generator: spectral_radius_(w, 1.0, generator=generator)):
        first, again = (VanillaRNN(1, 6).W_hh for _ in range(2))
        for weight in (first, again):
            fill(weight, generator=torch.Generator().manual_seed(3))
        assert torch.equal(first, again) and first.requires_grad


@pytest.mark.parametrize(
    "constrain, size, bound",
    [
        pytest.param(lambda model: bound_spectral_norm(model, 0.9), norm, 0.9, id="norm"),
        pytest.param(lambda model: bound_spectral_radius(model, 0.9), radius, 0.9, id="radius"),
    ],
)
def test_a_bound_holds_through_training_and_leaves_smaller_matrices_alone(
    constrain, size, bound, device, generator
):
    model = model_of(device, generator)
    spectral_norm_(model.W_hh, 0.5, generator=generator)
    before = model.W_hh.detach().clone()
    constrain(model)
    assert torch.equal(model.W_hh, before)
    x = torch.randn(4, 10, 2, dtype=torch.float64, device=device, generator=generator)
    optimiser = torch.optim.SGD(model.parameters(), lr=3.0)
    for _ in range(8):
        optimiser.zero_grad()
        (-model(x).square().mean()).backward()  # a loss that wants large states
        optimiser.step()
        assert size(model.W_hh) <= bound * (1 + 1e-12)
    assert size(model.parametrizations.W_hh.original) > bound


@pytest.mark.parametrize("bound", [bound_spectral_norm, bound_spectral_radius])
def test_gradients_flow_through_a_bound(bound):
    model = VanillaRNN(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bound(model, 0.3)
    scale = model.parametrizations.W_hh[0]
    free = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    assert torch.autograd.gradcheck(scale, free.requires_grad_())


def test_an_orthogonal_weight_stays_so_through_training(device, generator):
    model = model_of(device, generator)
    orthogonal_(model.W_hh, generator=generator)
    before = model.W_hh.detach().clone()
    keep_orthogonal(model)
    torch.testing.assert_close(model.W_hh, before)
    x = torch.randn(4, 10, 2, dtype=torch.float64, device=device, generator=generator)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(10):
        optimiser.zero_grad()
        (-model(x).square().mean()).backward()
        optimiser.step()
    np.testing.assert_allclose((model.W_hh @ model.W_hh.T).detach().cpu(), np.eye(12), atol=1e-12)
    assert (model.W_hh - before).abs().max() > 1e-3


def test_pytorchs_own_spectral_norm_works_on_a_cell(device, generator):
    model = model_of(device, generator)
    parametrizations.spectral_norm(model, "W_hh", n_power_iterations=200)
    model(torch.zeros(1, 3, 2, dtype=torch.float64, device=device)).sum().backward()
    assert norm(model.eval().W_hh) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        pytest.param(
            lambda: orthogonal_(torch.empty(2, 3)),
            r"weight must be a square matrix: got shape \(2, 3\)",
            id="not square",
        ),
        pytest.param(
            lambda: orthogonal_(torch.empty(2, 2), 0.0),
            "gain must be positive and finite: got 0.0",
            id="gain of zero",
        ),
        pytest.param(
            lambda: spectral_radius_(torch.empty(2, 2), -1.0),
            "radius must be positive and finite: got -1.0",
            id="negative radius",
        ),
        pytest.param(
            lambda: spectral_norm_(torch.empty(2, 2), float("inf")),
            "norm must be positive and finite: got inf",
            id="infinite norm",
        ),
        pytest.param(
            lambda: bound_spectral_norm(VanillaRNN(2, 3), 0.0),
            "bound must be positive and finite: got 0.0",
            id="bound of zero",
        ),
        pytest.param(
            lambda: bound_spectral_radius(VanillaRNN(2, 3), 1.0, "W_xh"),
            r"name must be that of a square weight of the model: 'W_xh' is \(3, 2\)",
            id="weight not square",
        ),
        pytest.param(
            lambda: keep_orthogonal(VanillaRNN(2, 3), "W"),
            "name must be that of a square weight of the model: 'W' is None",
            id="no such weight",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
