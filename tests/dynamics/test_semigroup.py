"""semigroup_defect: nothing for flows, the solver's order for solvers."""

import math

import pytest
import torch

from helpers.dynamics import Flow, semigroup_defect
from helpers.systems import ToggleSwitch

STATES = torch.tensor([[1.0, 0.3], [2.0, 0.0], [0.1, 3.0]], dtype=torch.float64)


def test_an_exact_flow_has_none():
    defect = semigroup_defect(lambda y, dt: y * math.exp(-dt), STATES, 0.7)
    torch.testing.assert_close(defect, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-15)


def test_eulers_is_the_square_of_the_step():
    """On y' = -y: (1 - 2Δt) y - (1 - Δt)² y = -Δt² y."""
    defect = semigroup_defect(lambda y, dt: y - dt * y, STATES, 0.1)
    torch.testing.assert_close(defect, 0.01 * STATES.norm(dim=-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("order", [1, 4])
def test_a_solvers_falls_with_its_order_plus_one(order, device):
    field = ToggleSwitch(3.0)
    flow, states = Flow(field), STATES.to(device)

    def step(y, dt):
        return y + dt * field(0.0, y) if order == 1 else flow.every(dt).step(y)

    coarse, fine = (semigroup_defect(step, states, dt) for dt in (0.02, 0.01))
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
    ],
)
def test_misuse(step, states, dt, message):
    with pytest.raises(ValueError, match=message):
        semigroup_defect(step, states, dt)
