"""Parameters per sample meet the batch, never the times."""

import re

import pytest
import torch

from helpers.systems import Lorenz, LotkaVolterra, OneCompartment, Repressilator, ToggleSwitch

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
