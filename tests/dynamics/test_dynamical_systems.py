"""Map and Flow: their derivatives, their steps, and what a step lacks to be a flow's."""

import math

import pytest
import torch

from helpers.dynamics import Flow, Map, jacobian, semigroup_defect
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


STATES = torch.tensor([[1.0, 0.3], [2.0, 0.0], [0.1, 3.0]], dtype=torch.float64)


def test_an_exact_flow_has_no_semigroup_defect():
    defect = semigroup_defect(lambda y, dt: y * math.exp(-dt), STATES, 0.7)
    torch.testing.assert_close(defect, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-15)


def test_eulers_semigroup_defect_is_the_square_of_the_step():
    """On y' = -y: (1 - 2Δt) y - (1 - Δt)² y = -Δt² y."""
    defect = semigroup_defect(lambda y, dt: y - dt * y, STATES, 0.1)
    torch.testing.assert_close(defect, 0.01 * STATES.norm(dim=-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e200, 1e300])
def test_a_defect_whose_square_is_no_float_is_right(unit):
    states = unit * torch.tensor([[1.0, 2.0], [0.5, -3.0]], dtype=torch.float64)
    defect = semigroup_defect(lambda y, dt: y - dt * y, states, 0.1)
    torch.testing.assert_close(defect / unit, 0.01 * (states / unit).norm(dim=-1))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param([[1.0]], "state must be a floating-point tensor: got list; torch.as_tensor", id="list"),
        pytest.param(None, "state must be a floating-point tensor: got NoneType", id="none"),
        pytest.param(torch.ones(2, 2).long(), "state must be a floating-point tensor: got a", id="integers"),
    ],
)
def test_a_jacobian_is_of_a_floating_point_state(state, message):
    with pytest.raises(ValueError, match=message):
        jacobian(torch.sin, state)


@pytest.mark.parametrize("order", [1, 4])
def test_a_solvers_semigroup_defect_falls_with_its_order_plus_one(order, device):
    field = ToggleSwitch(3.0)
    flow, states = Flow(field), STATES.to(device)

    def advance(y, dt):
        return y + dt * field(0.0, y) if order == 1 else flow.every(dt).step(y)

    coarse, fine = (semigroup_defect(advance, states, dt) for dt in (0.02, 0.01))
    torch.testing.assert_close(
        (coarse / fine).log2().cpu(), torch.full((3,), order + 1.0).double(), rtol=0, atol=0.15
    )


@pytest.mark.parametrize(
    "step, states, dt, message",
    [
        pytest.param(
            lambda y, dt: y,
            STATES[0],
            0.1,
            r"states must have shape \(B, D\): got shape \(2,\)",
            id="states without batch",
        ),
        pytest.param(
            lambda y, dt: y, STATES, 0.0, "dt must be positive and finite: got 0.0", id="dt of zero"
        ),
        pytest.param(
            lambda y, dt: y[:, :1],
            STATES,
            0.1,
            r"step must return the shape of its state, \(3, 2\): got \(3, 1\)",
            id="step of another shape",
        ),
        pytest.param(
            lambda y, dt: y if dt > 0.15 else y.sum(0, keepdim=True),
            STATES,
            0.1,
            r"step must return the shape of its state, \(3, 2\): got \(1, 2\)",
            id="half step of another shape",
        ),
    ],
)
def test_misuse_of_semigroup_defect(step, states, dt, message):
    with pytest.raises(ValueError, match=message):
        semigroup_defect(step, states, dt)
