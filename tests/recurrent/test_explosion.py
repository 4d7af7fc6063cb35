"""Gradients clipped as PyTorch clips them, and explosions found where they began."""

import pytest
import torch
from torch import nn

from helpers.recurrent import VanillaRNN, clip, first_non_finite, refuse_non_finite


def with_gradients(device, scale=1.0):
    generator = torch.Generator(device).manual_seed(0)
    model = VanillaRNN(2, 4, device=device, generator=generator)
    for weight in model.parameters():
        weight.grad = scale * torch.randn(weight.shape, device=device, generator=generator)
    return model


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1000.0])
def test_gradients_are_those_of_pytorchs_clipping(max_norm, device):
    ours = with_gradients(device)
    theirs = with_gradients(device)
    before = [weight.grad.clone() for weight in ours.parameters()]
    report = clip(ours, max_norm)
    norm = nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
    assert report.norm == pytest.approx(norm.item(), rel=1e-6)
    for own, other, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
        torch.testing.assert_close(own.grad, other.grad)
        torch.testing.assert_close(own.grad, old * report.factor)
    assert report.clipped == (max_norm < report.norm) and report.non_finite == ()


def test_shares_are_parts_of_the_squared_norm():
    model = VanillaRNN(2, 4, dtype=torch.float64)
    for weight, size in zip(model.parameters(), (3.0, 4.0, 12.0), strict=True):
        weight.grad = torch.zeros_like(weight)
        weight.grad.view(-1)[0] = size
    report = clip(model, 1.0)
    assert report.norm == 13.0 and report.factor == pytest.approx(1 / 13)
    assert report.shares == pytest.approx({"W_xh": 9 / 169, "W_hh": 16 / 169, "b": 144 / 169})


def test_a_gradient_that_exploded_short_of_infinity_keeps_its_direction(device):
    """In float32 the square of 1e30 is infinite, and PyTorch's own norm with it."""
    model, unscaled = with_gradients(device, 1e30), with_gradients(device)
    report = clip(model, 1.0)
    clip(unscaled, 1.0)
    assert report.norm > 1e30 and report.clipped
    for weight, other in zip(model.parameters(), unscaled.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad)


@pytest.mark.parametrize("size", [1e-310, 1e-300, 1e-200, 1e200, 1e300])
def test_a_norm_whose_square_is_no_float64_is_right(size):
    model = VanillaRNN(2, 2, dtype=torch.float64)
    for weight, entry in zip(model.parameters(), (3.0, 4.0, 12.0), strict=True):
        weight.grad = torch.zeros_like(weight)
        weight.grad.view(-1)[0] = size * entry
    report = clip(model, 1.0)
    assert report.norm / size == pytest.approx(13.0)
    assert report.shares == pytest.approx({"W_xh": 9 / 169, "W_hh": 16 / 169, "b": 144 / 169})
    assert model.b.grad[0].item() == pytest.approx(12 * size * report.factor)


def test_a_norm_beyond_float64_is_reported_and_nothing_done():
    model = VanillaRNN(1, 2, bias=False, dtype=torch.float64)
    model.W_xh.grad, model.W_hh.grad = torch.ones_like(model.W_xh), torch.full_like(model.W_hh, 1.7e308)
    report = clip(model, 1.0)
    assert report.norm == torch.inf and report.non_finite == ("W_hh",) and not report.clipped
    assert (model.W_hh.grad == 1.7e308).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_without_direction_is_left_alone_and_reported(bad, device):
    model = with_gradients(device)
    model.W_hh.grad[1, 2] = bad
    before = [weight.grad.clone() for weight in model.parameters()]
    report = clip(model, 0.1)
    assert report.non_finite == ("W_hh",) and report.shares == {}
    assert report.factor == 1.0 and not report.clipped
    for weight, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(weight.grad, old, equal_nan=True)


def test_a_zero_gradient_and_a_frozen_weight():
    model = VanillaRNN(1, 2)
    model.b.grad = torch.zeros(2)
    report = clip(model, 1.0)
    assert (report.norm, report.factor, report.shares) == (0.0, 1.0, {"b": 0.0})


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="max_norm must be positive and finite: got 0.0"):
        clip(with_gradients("cpu"), 0.0)
    with pytest.raises(ValueError, match=r"model has no gradient to clip: call backward\(\) first"):
        clip(VanillaRNN(1, 2), 1.0)


def test_an_explosion_is_found_at_its_step_and_sample(device):
    """h_t = 1e10^t overflows float32 at t = 4, and a start of 1e-20 gains two steps."""
    model = VanillaRNN(0, 1, "relu", bias=False, device=device)
    torch.nn.init.constant_(model.W_hh, 1e10)
    h0 = torch.tensor([[0.0], [1e-20], [1.0]], device=device)
    states = model(torch.zeros(3, 9, 0, device=device), h0).detach()
    assert first_non_finite(states).tolist() == [-1, 5, 3]
    message = r"states must be finite: states\[2, 3, 0\] = inf is the earliest that is not; 2 of 3 series"
    with pytest.raises(FloatingPointError, match=message):
        refuse_non_finite(states)
    refuse_non_finite(states[:, :3])
    with pytest.raises(FloatingPointError, match=r"x must be finite: x\[0, 1, 1\] = nan"):
        refuse_non_finite(torch.tensor([[[0.0, 0.0], [1.0, torch.nan]]]), "x")


def test_states_without_time_are_refused():
    with pytest.raises(ValueError, match=r"states must have shape \(B, T, S\): got \(2, 3\)"):
        first_non_finite(torch.ones(2, 3))
