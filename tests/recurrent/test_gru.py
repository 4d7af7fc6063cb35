"""The GRU's conventions and its memory."""

import math

import pytest
import torch
from gated_cells import make, normal
from torch import nn

from helpers.recurrent import GRU, chrono_, gradient_profile

EXACT = {"rtol": 1e-12, "atol": 1e-12}
RESETS = ["after", "before"]


@pytest.mark.parametrize("reset", RESETS)
def test_one_unit_by_hand(reset):
    """Weights of one digit, one step, on paper; the two conventions differ where the reset gate is not 1."""
    model = GRU(1, 1, reset=reset, dtype=torch.float64)
    with torch.no_grad():
        model.W_xh.copy_(torch.tensor([[0.1], [0.2], [0.3]]))
        model.W_hh.copy_(torch.tensor([[0.4], [0.5], [0.6]]))
        model.b.copy_(torch.tensor([0.7, 0.8, 0.9]))
        if reset == "after":
            model.b_hn.fill_(0.25)
    x, h = 2.0, 0.5
    r = 1 / (1 + math.exp(-(0.1 * x + 0.4 * h + 0.7)))
    z = 1 / (1 + math.exp(-(0.2 * x + 0.5 * h + 0.8)))
    inner = r * (0.6 * h + 0.25) if reset == "after" else 0.6 * (r * h)
    n = math.tanh(0.3 * x + 0.9 + inner)
    found = model(torch.full((1, 1, 1), x).double(), torch.full((1, 1), h).double()).item()
    assert found == pytest.approx((1 - z) * h + z * n, rel=1e-7)  # the weights are float32's


def test_conventions_agree_where_the_reset_gate_is_open_or_weights_are_diagonal():
    after, before = make("GRU, reset after"), make("GRU, reset before")
    for model in (after, before):
        nn.init.zeros_(model.W_hh[:4].detach())
        with torch.no_grad():
            model.b[:4] = 40.0
    nn.init.zeros_(after.b_hn)
    x, h0 = normal(2, 5, 3), normal(2, 4, seed=3)
    assert torch.equal(after.W_hh, before.W_hh)
    torch.testing.assert_close(after(x, h0), before(x, h0), **EXACT)
    with torch.no_grad():
        for model in (after, before):
            model.b[:4] = -0.3
    assert (after(x, h0) - before(x, h0)).abs().max() > 1e-3
    with torch.no_grad():
        for model in (after, before):
            model.W_hh[8:] = torch.diag(torch.tensor([1.0, -2.0, 0.5, 3.0]))
    torch.testing.assert_close(after(x, h0), before(x, h0), **EXACT)


@pytest.mark.parametrize("reset", RESETS)
def test_a_closed_update_gate_keeps_the_state_exactly(reset):
    """Also when everything else shouts: σ(-10⁴) is 0, not small. PyTorch's kernel, n + z (h - n), rounds."""
    model = make(f"GRU, reset {reset}", update_bias=-1e4)
    h0, x = normal(3, 4, seed=3), 100 * normal(3, 200, 3)
    kept = h0.unsqueeze(1).expand(-1, 200, -1)
    assert torch.equal(model(x, h0, fast=False), kept)
    torch.testing.assert_close(model(x, h0), kept, rtol=0, atol=200 * 2.3e-16)
    profile = gradient_profile(model, normal(3, 200, 3), lambda states: states[:, -1].sum(-1), h0=h0)
    assert (profile.gradients == 1).all()


@pytest.mark.parametrize("reset", RESETS)
def test_an_open_update_gate_forgets_the_state(reset):
    model = make(f"GRU, reset {reset}", update_bias=1e4)
    trace = model(normal(2, 5, 3), return_gates=True)
    torch.testing.assert_close(trace.h, trace.n, **EXACT)


def test_a_bias_inside_the_reset_gate_is_there_in_one_convention_only():
    assert GRU(2, 3).b_hn.shape == (3,) and GRU(2, 3, reset="before").b_hn is None
    assert GRU(2, 3, bias=False).b_hn is None and GRU(2, 3, bias=False).b is None


def test_chrono_start_closes_update_gates():
    model = GRU(2, 4000, dtype=torch.float64)
    before = model.b.detach().clone().view(3, -1)
    chrono_(model, 50.0, generator=torch.Generator().manual_seed(0))
    r, z, n = model.b.detach().view(3, -1)
    assert 1 <= (-z).exp().min() < 1.2 and 48.8 < (-z).exp().max() <= 49
    assert torch.equal(r, before[0]) and torch.equal(n, before[2])


@pytest.mark.parametrize("reset", ["during", None, True], ids=str)
def test_an_unknown_convention_is_refused(reset):
    with pytest.raises(ValueError, match=f"reset must be one of after, before: got {reset!r}"):
        GRU(2, 3, reset=reset)
