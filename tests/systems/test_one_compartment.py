"""The one-compartment model: closed form against SciPy's path, and where the two rates meet."""

import math

import numpy as np
import pytest
import torch

from helpers.systems import OneCompartment


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


TIMES = torch.linspace(0, 24, 25, dtype=torch.float64)
STARTS = torch.rand(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("absorption", [0.05, 0.3, 0.3 + 1e-9, 0.31, 2.0])
def test_closed_form_is_scipys_path(absorption, scipy_path):
    system = OneCompartment(absorption_rate=absorption, elimination_rate=0.3, volume=0.5)
    start = double(4.0, 1.0)
    torch.testing.assert_close(
        system.solution(TIMES, start), scipy_path(system, start, TIMES), rtol=1e-9, atol=1e-11
    )


def test_concentration_is_the_formula_of_chapter_1():
    clearance, ka, ke, dose = 0.04, 1.6, 0.09, 4.5
    system = OneCompartment(absorption_rate=ka, elimination_rate=ke, volume=clearance / ke)
    assert system.clearance == pytest.approx(clearance)
    found = system.concentration(system.solution(TIMES, double(dose, 0.0)))
    expected = dose * ke / clearance * ka / (ka - ke) * (torch.exp(-ke * TIMES) - torch.exp(-ka * TIMES))
    torch.testing.assert_close(found, expected)


def test_equal_rates_give_gamma_shaped_curves_with_the_peak_at_one_lifetime():
    system = OneCompartment(absorption_rate=0.5, elimination_rate=0.5, volume=1.0)
    t = double(2.0)
    torch.testing.assert_close(system.solution(t, double(1.0, 0.0)), double([math.exp(-1), math.exp(-1)]))
    assert system(0.0, system.solution(t, double(1.0, 0.0)))[0, 1].abs() < 1e-16


def test_a_dose_into_a_vein_only_decays():
    system = OneCompartment(absorption_rate=1.0, elimination_rate=0.2, volume=10.0)
    path = system.solution(TIMES, double(0.0, 100.0))
    torch.testing.assert_close(system.concentration(path), 10 * torch.exp(-0.2 * TIMES))
    assert (path[:, 0] == 0).all()


def test_all_that_is_swallowed_is_cleared():
    """CL times the area under the concentration is the dose."""
    system = OneCompartment(absorption_rate=1.6, elimination_rate=0.4, volume=2.0)
    t = torch.linspace(0, 100, 20_001, dtype=torch.float64)
    area = torch.trapezoid(system.concentration(system.solution(t, double(5.0, 0.0))), t)
    assert system.clearance * area.item() == pytest.approx(5.0, rel=1e-4)


def test_parameters_and_times_per_sample():
    ka, ke, volume = double(0.5, 1.0, 2.0), double(0.5, 0.2, 0.1), double(1.0, 2.0, 4.0)
    starts = double([1.0, 0.0], [2.0, 1.0], [3.0, 0.0])
    times = TIMES[:5] * double(1.0, 0.5, 2.0).unsqueeze(-1)  # (B, T)
    system = OneCompartment(absorption_rate=ka, elimination_rate=ke, volume=volume)
    path = system.solution(times, starts)
    assert path.shape == (3, 5, 2)
    for sample in range(3):
        alone = OneCompartment(
            absorption_rate=ka[sample], elimination_rate=ke[sample], volume=volume[sample].item()
        )
        torch.testing.assert_close(path[sample], alone.solution(times[sample], starts[sample]))
        torch.testing.assert_close(system.concentration(path)[sample], alone.concentration(path[sample]))
    assert system.solution(TIMES, starts).shape == (3, 25, 2)


def absorbed_in_one_hour(elimination, absorption):
    """What is in the blood an hour after a dose of 1: kₐ (e⁻ᵏᵉ - e⁻ᵏᵃ) / (kₐ - kₑ)."""
    system = OneCompartment(absorption_rate=absorption, elimination_rate=elimination, volume=1.0)
    return system.solution(double(1.0), double(1.0, 0.0).expand(*absorption.shape, 2))[..., 0, 1]


def test_equal_rates_keep_their_digits_and_their_slopes():
    """At kₑ = kₐ = k: k e⁻ᵏ, with slopes -k e⁻ᵏ / 2 along kₑ and (1 - k / 2) e⁻ᵏ along kₐ."""
    k = 0.7
    elimination, absorption = double(k).requires_grad_(), double(k).requires_grad_()
    amount = absorbed_in_one_hour(elimination, absorption)
    slopes = torch.autograd.grad(amount, (elimination, absorption))
    assert amount.item() == pytest.approx(k * math.exp(-k), rel=1e-15)
    expected = [-k * math.exp(-k) / 2, (1 - k / 2) * math.exp(-k)]
    assert [slope.item() for slope in slopes] == pytest.approx(expected, rel=1e-14)


def test_nearly_equal_rates_keep_their_digits_and_their_derivatives():
    ka = double(-30.0, -1.0, -0.999, -1e-3, -1e-9, 0.0, 1e-12, 1e-5, 0.5, 0.999, 1.0, 1.5, 30.0)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s = ka.unsqueeze(-1) / 2 * (1 + torch.from_numpy(nodes))
    mean_decay = (torch.exp(-s) * torch.from_numpy(weights) / 2).sum(-1)
    found = absorbed_in_one_hour(torch.zeros_like(ka), ka)
    torch.testing.assert_close(found, ka * mean_decay, rtol=1e-13, atol=0)
    rates = (torch.zeros_like(ka[1:-1]).requires_grad_(), ka[1:-1].clone().requires_grad_())
    assert torch.autograd.gradcheck(absorbed_in_one_hour, rates)
    assert torch.autograd.gradgradcheck(absorbed_in_one_hour, rates)


def test_fast_rates_overflow_nothing_in_single_precision():
    system = OneCompartment(absorption_rate=0.01, elimination_rate=50.0, volume=1.0)
    path = system.solution(TIMES.float(), torch.tensor([1.0, 0.0]))
    assert path.dtype == torch.float32 and path.isfinite().all()
    torch.testing.assert_close(path[1:, 1], 0.01 / 49.99 * torch.exp(-0.01 * TIMES[1:].float()))


def test_gradients_of_the_closed_form():
    parameters = [double(0.5, 1.0).requires_grad_(), double(0.5, 0.2).requires_grad_()]
    start = double([1.0, 0.5], [2.0, 0.0]).requires_grad_()

    def path(ka, ke, start):
        return OneCompartment(absorption_rate=ka, elimination_rate=ke, volume=1.0).solution(TIMES[:4], start)

    assert torch.autograd.gradcheck(path, (*parameters, start))


def test_amounts_are_two():
    system = OneCompartment(absorption_rate=1.0, elimination_rate=0.2, volume=10.0)
    message = r"y must end in the 2 variables \(gut, central\): got shape \(5, 3\)"
    with pytest.raises(ValueError, match=message):
        system.concentration(torch.ones(5, 3))
    with pytest.raises(ValueError, match=message.replace("y must", "y0 must")):
        system.solution(TIMES, torch.ones(5, 3))


@pytest.mark.parametrize(
    "t, y0, message",
    [
        (TIMES.float(), STARTS, "t must have the dtype of y0: got torch.float32 and torch.float64"),
        (TIMES.tolist(), STARTS, "t must be a tensor: got list"),
        (TIMES[0], STARTS, r"t must have shape \(T,\) or \(B, T\) with B = 3: got \(\)"),
        (TIMES.expand(2, -1), STARTS, r"t must have shape \(T,\) or \(B, T\) with B = 3: got \(2,"),
        (TIMES.expand(3, -1), STARTS[0], r"t must have shape \(T,\): got \(3,"),
        (TIMES, STARTS[None], r"y0 must have shape \(2,\) or \(B, 2\): got \(1, 3, 2\)"),
        (TIMES, STARTS.numpy(), "y0 must be a floating-point tensor: got ndarray"),
    ],
    ids=["float32", "a list", "one time", "of two samples", "of no samples", "an axis more", "an array"],
)
def test_times_and_starts_that_are_refused(t, y0, message):
    with pytest.raises(ValueError, match=message):
        OneCompartment(absorption_rate=1.0, elimination_rate=0.2, volume=10.0).solution(t, y0)
