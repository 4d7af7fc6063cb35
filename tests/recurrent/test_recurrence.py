"""scan, and the diagnosis of states that are not finite."""

import pytest
import torch

from helpers.recurrent import VanillaRNN, check_finite, first_non_finite, scan


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
        (
            lambda: scan(torch.add, torch.ones(2, 3), torch.ones(2, 3)),
            r"inputs must have shape \(B, T, P\): got \(2, 3\)",
        ),
        (
            lambda: scan(torch.add, torch.ones(1, 4), torch.ones(2, 3, 4)),
            r"h0 must have shape \(B, 4\) = \(2, 4\): got \(1, 4\)",
        ),
        (
            lambda: scan(lambda h, p: h[:1], torch.ones(2, 4), torch.ones(2, 3, 4)),
            r"step must return the state's shape \(2, 4\): got \(1, 4\)",
        ),
        (
            lambda: scan(torch.add, torch.ones(2, 4), torch.ones(2, 3, 4), torch.ones(2, 4).bool()),
            r"active must have shape \(B, T\) = \(2, 3\): got \(2, 4\)",
        ),
        (
            lambda: first_non_finite(torch.ones(2, 3)),
            r"states must have shape \(B, T, S\): got \(2, 3\)",
        ),
    ],
)
def test_shape_clashes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_explosion_is_found_at_its_step_and_sample(device):
    """h_t = 1e10^t overflows float32 at t = 4, and a start of 1e-20 gains two steps."""
    model = VanillaRNN(0, 1, "relu", bias=False, device=device)
    torch.nn.init.constant_(model.W_hh, 1e10)
    h0 = torch.tensor([[0.0], [1e-20], [1.0]], device=device)
    states = model(torch.zeros(3, 9, 0, device=device), h0).detach()
    assert first_non_finite(states).tolist() == [-1, 5, 3]
    message = r"states must be finite: states\[2, 3, 0\] = inf is the earliest that is not; 2 of 3 series"
    with pytest.raises(FloatingPointError, match=message):
        check_finite(states)
    check_finite(states[:, :3])
    with pytest.raises(FloatingPointError, match=r"x must be finite: x\[0, 1, 1\] = nan"):
        check_finite(torch.tensor([[[0.0, 0.0], [1.0, torch.nan]]]), "x")
