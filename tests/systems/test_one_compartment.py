"""The one-compartment model: closed form against SciPy's path, and where the two rates meet."""

import math

import numpy as np
import pytest
import torch

from helpers.systems import OneCompartment
from helpers.systems.one_compartment import mean_decay


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


TIMES = torch.linspace(0, 24, 25, dtype=torch.float64)


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


def test_mean_decay_and_its_slopes_where_its_ends_meet():
    """At a = b: e⁻ᵃ, and each end moves the mean by half: -e⁻ᵃ / 2."""
    a, b = double(0.7).requires_grad_(), double(0.7).requires_grad_()
    mean = mean_decay(a, b)
    slopes = torch.autograd.grad(mean, (a, b))
    assert mean.item() == pytest.approx(math.exp(-0.7), rel=1e-15)
    assert [slope.item() for slope in slopes] == pytest.approx([-math.exp(-0.7) / 2] * 2, rel=1e-14)


def test_mean_decay_keeps_its_digits_and_its_derivatives():
    b = double(-30.0, -1.0, -0.999, -1e-3, -1e-9, 0.0, 1e-12, 1e-5, 0.5, 0.999, 1.0, 1.5, 30.0)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s = b.unsqueeze(-1) / 2 * (1 + torch.from_numpy(nodes))
    expected = (torch.exp(-s) * torch.from_numpy(weights) / 2).sum(-1)
    torch.testing.assert_close(mean_decay(torch.zeros_like(b), b), expected, rtol=1e-13, atol=0)
    ends = (torch.zeros_like(b[1:-1]).requires_grad_(), b[1:-1].clone().requires_grad_())
    assert torch.autograd.gradcheck(mean_decay, ends)
    assert torch.autograd.gradgradcheck(mean_decay, ends)


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
    with pytest.raises(ValueError, match=message):
        system.solution(TIMES, torch.ones(5, 3))
