"""scan: its loop, what it holds, and the shapes it refuses."""

import pytest
import torch

from helpers.recurrent import scan


def test_scan_of_an_addition_is_the_cumulative_sum(device, generator):
    inputs = torch.randn(3, 7, 2, device=device, generator=generator)
    h0 = torch.randn(3, 2, device=device, generator=generator)
    states = scan(torch.add, h0, inputs)
    torch.testing.assert_close(states, h0.unsqueeze(1) + inputs.cumsum(1))


def test_scan_holds_the_state_where_inactive(device, generator):
    inputs = torch.randn(4, 9, 2, device=device, generator=generator)
    active = torch.rand(4, 9, device=device, generator=generator) > 0.5
    states = scan(torch.add, torch.zeros(4, 2, device=device), inputs, active)
    torch.testing.assert_close(states, torch.where(active.unsqueeze(-1), inputs, 0.0).cumsum(1))


def test_scan_may_carry_a_state_of_another_size_than_the_inputs():
    states = scan(lambda h, p: h + p.sum(-1, keepdim=True), torch.zeros(2, 1), torch.ones(2, 3, 5))
    assert states[:, :, 0].tolist() == [[5, 10, 15]] * 2


def test_no_steps_leave_no_states():
    assert scan(torch.add, torch.zeros(2, 3), torch.ones(2, 0, 3)).shape == (2, 0, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        pytest.param(
            lambda: scan(torch.add, torch.ones(2, 3), torch.ones(2, 3)),
            r"inputs must have shape \(B, T, P\): got \(2, 3\)",
            id="inputs without time",
        ),
        pytest.param(
            lambda: scan(torch.add, torch.ones(1, 4), torch.ones(2, 3, 4)),
            r"h0 must have shape \(B, 4\) = \(2, 4\): got \(1, 4\)",
            id="h0 of another batch",
        ),
        pytest.param(
            lambda: scan(lambda h, p: h[:1], torch.ones(2, 4), torch.ones(2, 3, 4)),
            r"step must return the state's shape \(2, 4\): got \(1, 4\)",
            id="step changes the shape",
        ),
        pytest.param(
            lambda: scan(torch.add, torch.ones(2, 4), torch.ones(2, 3, 4), torch.ones(2, 4).bool()),
            r"active must have shape \(B, T\) = \(2, 3\): got \(2, 4\)",
            id="active of another length",
        ),
    ],
)
def test_shape_clashes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
