"""Map and Flow: their derivatives, and that a flow's step is Runge and Kutta's."""

import math

import pytest
import torch

from helpers.dynamics import Flow, Map
from helpers.systems import Lorenz, ToggleSwitch


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


WEIGHT = random(3, 3) / 2


def step(h, x):
    return torch.tanh(h @ WEIGHT.to(h).T + x)


def derivative(h, x):
    return (1 - step(h, x).square())[..., None] * WEIGHT.to(h)


def test_jacobian_of_a_driven_map_is_its_closed_form(device):
    h, x = random(5, 3).to(device), random(5, 3, seed=1).to(device)
    torch.testing.assert_close(Map(step).jacobian(h, x), derivative(h, x), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(Map(step, derivative).jacobian(h, x), derivative(h, x), rtol=0, atol=0)


def test_a_flow_takes_its_fields_jacobian_or_derives_it():
    rates = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    field, y = ToggleSwitch(rates), random(4, 2).abs()
    derived = Flow(lambda t, y: field(t, y)).jacobian(y)
    torch.testing.assert_close(derived, field.jacobian(0.0, y), rtol=1e-13, atol=1e-14)
    given = Flow(field, lambda t, y: torch.zeros(4, 2, 2)).jacobian(y)
    assert torch.equal(given, torch.zeros(4, 2, 2)) and torch.equal(
        Flow(field).jacobian(y), field.jacobian(0, y)
    )


@pytest.mark.parametrize(
    "field", [pytest.param(ToggleSwitch(3.0), id="toggle switch"), pytest.param(Lorenz(), id="Lorenz")]
)
def test_derivative_of_a_flows_step_is_autograds(field):
    y = random(4, len(field.variables)).abs()
    one_step = Flow(field).every(0.05)
    by_autograd = torch.stack([torch.autograd.functional.jacobian(one_step.step, row) for row in y])
    torch.testing.assert_close(one_step.jacobian(y), by_autograd, rtol=1e-12, atol=1e-12)


def test_a_flows_step_has_order_four():
    """y' = -y² from 1 is 1 / (1 + t): halving dt divides the error at t = 1 by 16."""
    flow, errors = Flow(lambda t, y: -y.square()), []
    for steps in (20, 40):
        y = torch.ones(1, 1, dtype=torch.float64)
        for _ in range(steps):
            y = flow.every(1 / steps).step(y)
        errors.append(abs(y.item() - 0.5))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.1)
