"""Parameters per sample meet the batch, never the times."""

import re

import mpmath
import pytest
import torch

from helpers.systems import Lorenz, LotkaVolterra, OneCompartment, Repressilator, ToggleSwitch
from helpers.systems.state import repression, repression_slope

RATES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
FAMILIES = {
    "toggle switch": (lambda rate: ToggleSwitch(rate, n=1 + rate), 2),
    "Lorenz": (lambda rate: Lorenz(10 * rate, 28 * rate, rate), 3),
    "Lotka-Volterra": (lambda rate: LotkaVolterra(alpha=rate, beta=0.4, delta=rate, gamma=0.4), 2),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_parameter_belongs_to_the_first_dimension_even_where_the_second_is_as_long(family):
    make, dimension = FAMILIES[family]
    generator = torch.Generator().manual_seed(0)
    y = 1 + torch.rand(3, 3, dimension, dtype=torch.float64, generator=generator)  # (B, T, D)
    together = make(RATES)
    for sample, rate in enumerate(RATES.tolist()):
        alone = make(rate)
        torch.testing.assert_close(together(0.0, y)[sample], alone(0.0, y[sample]))
        torch.testing.assert_close(together.jacobian(0.0, y)[sample], alone.jacobian(0.0, y[sample]))


def test_the_invariant_keeps_parameters_with_their_samples():
    y = 1 + torch.rand(3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # (B, T, 2)
    together = LotkaVolterra(alpha=RATES, beta=0.4, delta=RATES, gamma=0.4)
    for sample, rate in enumerate(RATES.tolist()):
        alone = LotkaVolterra(alpha=rate, beta=0.4, delta=rate, gamma=0.4)
        torch.testing.assert_close(together.invariant(y)[sample], alone.invariant(y[sample]))


def test_one_row_of_parameters_serves_all_samples():
    y = torch.rand(4, 2)
    one = OneCompartment(absorption_rate=torch.tensor([1.5]), elimination_rate=torch.tensor(0.1), volume=0.5)
    number = OneCompartment(absorption_rate=1.5, elimination_rate=0.1, volume=0.5)
    torch.testing.assert_close(one(0.0, y), number(0.0, y))


@pytest.mark.parametrize("shape", [(4,), (3, 1), (1, 3)], ids=str)
def test_as_many_parameters_as_there_are_no_samples(shape):
    system = Repressilator(beta=torch.ones(shape))
    message = f"beta must be one number or one for each of the 3 samples: got shape {re.escape(str(shape))}"
    for function in (system, system.jacobian):
        with pytest.raises(ValueError, match=message):
            function(0.0, torch.ones(3, 6))


SYSTEMS = {
    "toggle switch": (ToggleSwitch, {"alpha": 3.0, "n": 2.0}),
    "repressilator": (Repressilator, {"alpha": 3.0, "n": 2.0, "alpha0": 0.1, "beta": 1.0}),
    "Lorenz": (Lorenz, {"sigma": 10.0, "rho": 28.0, "beta": 2.0}),
    "Lotka-Volterra": (LotkaVolterra, {"alpha": 1.0, "beta": 0.4, "delta": 0.1, "gamma": 0.4}),
    "compartment": (OneCompartment, {"absorption_rate": 1.0, "elimination_rate": 0.2, "volume": 5.0}),
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "wrong, message",
    [
        (None, "must be a number, or a tensor of one for each sample: got NoneType"),
        ("three", "must be a number, or a tensor of one for each sample: got str"),
        ([1.0, 2.0], r"got list; torch.as_tensor\(.*\) makes it a tensor"),
        (True, "must be a number, or a tensor of one for each sample: got bool"),
        (float("nan"), "must be a finite number: got nan"),
        (float("inf"), "must be a finite number: got inf"),
        (torch.tensor([True]), "must be real numbers: got a torch.bool tensor"),
        (torch.tensor([1j]), "must be real numbers: got a torch.complex64 tensor"),
    ],
    ids=["none", "a word", "a list", "true", "nan", "infinity", "bools", "complex"],
)
def test_a_parameter_that_is_no_number_is_refused_by_name(system, wrong, message):
    build, right = SYSTEMS[system]
    for name in right:
        with pytest.raises(ValueError, match=f"{name} .*{message}"):
            build(**{**right, name: wrong})


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "wrong", [None, "y", [1.0, 2.0], torch.ones(2, 6).long()], ids=["none", "a word", "a list", "integers"]
)
def test_a_state_that_is_no_floating_point_tensor_is_refused(system, wrong):
    build, right = SYSTEMS[system]
    for function in (build(**right), build(**right).jacobian):
        with pytest.raises(ValueError, match="y must be a floating-point tensor: got"):
            function(0.0, wrong)


HUGE = (1e-300, 0.5, 1.0, 1.0000001, 3.0, 1e13, 1e154, 1e200, 1e300)


@pytest.mark.parametrize("n", [1.0, 2.0, 2.7, 10.0])
def test_repression_keeps_its_derivatives_where_its_power_overflows(n):
    """1 / (1 + xⁿ) and -n xⁿ⁻¹ / (1 + xⁿ)² in 50 digits; autograd's, and that by n."""
    mpmath.mp.dps = 50
    x = torch.tensor(HUGE, dtype=torch.float64, requires_grad=True)
    exponent = torch.tensor(n, dtype=torch.float64, requires_grad=True)
    share = repression(x, exponent)
    by_x, by_n = torch.autograd.grad(share.sum(), (x, exponent))
    powers = [mpmath.mpf(each) ** n for each in HUGE]
    slopes = [-n * p / mpmath.mpf(each) / (1 + p) ** 2 for each, p in zip(HUGE, powers, strict=True)]
    by_exponent = sum(-p * mpmath.log(each) / (1 + p) ** 2 for each, p in zip(HUGE, powers, strict=True))
    expected = [float(1 / (1 + p)) for p in powers], [float(slope) for slope in slopes]
    close = {"rtol": 1e-12, "atol": 1e-300}
    torch.testing.assert_close(share.tolist(), expected[0], **close)
    torch.testing.assert_close(by_x.tolist(), expected[1], **close)
    torch.testing.assert_close(repression_slope(x, exponent).tolist(), expected[1], **close)
    torch.testing.assert_close(by_n.item(), float(by_exponent), **close)


def test_repression_of_negative_amounts_with_a_whole_power():
    x = torch.tensor([-1e200, -3.0, -0.5], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(repression(x, 2.0).sum(), x)
    torch.testing.assert_close(slope.tolist(), [0.0, 6.0 / 100, 1.0 / 1.5625], rtol=1e-14, atol=0)
    torch.testing.assert_close(repression_slope(x, 2.0), slope)


@pytest.mark.parametrize(
    "system", [ToggleSwitch(3.0, n=0.6), Repressilator(n=0.6)], ids=["toggle", "repressilator"]
)
def test_an_infinite_slope_stays_in_its_own_entries(system):
    """With n < 1 repression falls at once, by an infinite slope at 0; zeros beside it stay zeros."""
    y = torch.zeros(2, len(system.variables), dtype=torch.float64)
    found = system.jacobian(0.0, y)
    finite = system.jacobian(0.0, y + 1e-6)
    assert torch.equal(found.isinf(), finite < -2)
    assert torch.equal(found[found.isfinite()], finite[found.isfinite()])
