"""from_torch and to_torch: the same outputs and gradients, layer by layer, and what PyTorch has not."""

import itertools

import pytest
import torch
from gated_cells import normal
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from helpers.recurrent import (
    GRU,
    LSTM,
    Bidirectional,
    LeakyRNN,
    MinGRU,
    Stacked,
    VanillaRNN,
    from_torch,
    keep_orthogonal,
    to_torch,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CLASSES = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
NETWORKS = [
    pytest.param(
        CLASSES[name], layers, both, bias, id=f"{name}, {layers} layers, {both + 1} ways, bias {bias}"
    )
    for name, layers, both, bias in itertools.product(CLASSES, (1, 2), (False, True), (True, False))
]


def of_torch(kind, layers=1, bidirectional=False, bias=True, **how):
    """One of PyTorch's, with weights of a seed."""
    rnn = kind(
        3, 5, layers, bias=bias, batch_first=True, bidirectional=bidirectional, dtype=torch.float64, **how
    )
    for number, weight in enumerate(rnn.parameters()):
        weight.data.copy_(0.6 * normal(*weight.shape, seed=number))
    return rnn


def each_cell(model):
    """All cells of a network beside the end of the names of PyTorch's weights."""
    for number, layer in enumerate(model.layers if isinstance(model, Stacked) else [model]):
        cells = (layer.forwards, layer.backwards) if isinstance(layer, Bidirectional) else (layer,)
        for cell, suffix in zip(cells, ("", "_reverse"), strict=False):
            yield cell, f"l{number}{suffix}"


def initial(rnn, series):
    """PyTorch's initial states, and the same for ours: a state for each layer, two for both ways."""
    ways = 1 + rnn.bidirectional
    rows = rnn.num_layers * ways
    h = normal(rows, series, 5, seed=20)
    c = normal(rows, series, 5, seed=21)
    states = torch.cat([h, c], -1) if isinstance(rnn, nn.LSTM) else h
    own = [tuple(states[k * ways : (k + 1) * ways]) for k in range(rnn.num_layers)]
    own = own if rnn.bidirectional else [state for (state,) in own]
    return (h, c) if isinstance(rnn, nn.LSTM) else h, own if rnn.num_layers > 1 else own[0]


@pytest.mark.parametrize(("kind", "layers", "both", "bias"), NETWORKS)
def test_outputs_and_gradients_are_torchs(kind, layers, both, bias):
    theirs = of_torch(kind, layers, both, bias)
    ours = from_torch(theirs)
    x, weighting = normal(4, 8, 3).requires_grad_(), normal(4, 8, 5 * (1 + both), seed=8)
    first, own_first = initial(theirs, 4)
    expected, found = theirs(x, first)[0], ours(x, own_first)
    torch.testing.assert_close(found, expected, **EXACT)
    (gradient,) = torch.autograd.grad((expected * weighting).sum(), x, retain_graph=True)
    torch.testing.assert_close(
        torch.autograd.grad((found * weighting).sum(), x, retain_graph=True)[0], gradient, **EXACT
    )
    (expected * weighting).sum().backward()
    (found * weighting).sum().backward()
    for cell, suffix in each_cell(ours):
        sign = torch.ones(len(cell.W_hh), 1).double()
        if kind is nn.GRU:
            sign[5:10] = -1  # torch's update gate keeps where ours renews
        names = {"W_xh": "weight_ih", "W_hh": "weight_hh"} | ({"b": "bias_ih"} if bias else {})
        for own, their in names.items():
            right = getattr(theirs, f"{their}_{suffix}").grad
            right = right * (sign if right.ndim == 2 else sign[:, 0])
            torch.testing.assert_close(getattr(cell, own).grad, right, **EXACT)
        if kind is nn.GRU and bias:
            torch.testing.assert_close(
                cell.b_hn.grad, getattr(theirs, f"bias_hh_{suffix}").grad[10:], **EXACT
            )


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "step by step"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU], ids=["LSTM", "GRU"])
def test_cells_are_torchs_on_each_path_and_so_is_their_last_state(kind, fast):
    theirs = of_torch(kind)
    first, own_first = initial(theirs, 4)
    expected, last = theirs(normal(4, 8, 3), first)
    found, state = from_torch(theirs)(normal(4, 8, 3), own_first, fast=fast, return_last=True)
    torch.testing.assert_close(found, expected, **EXACT)
    last = torch.cat(last, -1) if kind is nn.LSTM else last
    torch.testing.assert_close(state, last[0], **EXACT)


@pytest.mark.parametrize(("kind", "layers", "both", "bias"), NETWORKS)
def test_lengths_are_torchs_packed_sequences(kind, layers, both, bias):
    theirs, x, lengths = of_torch(kind, layers, both, bias), normal(4, 8, 3), torch.tensor([3, 8, 1, 5])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=8)[0]
    valid = torch.arange(8) < lengths.unsqueeze(-1)
    broken = torch.where(valid.unsqueeze(-1), x, torch.nan)
    found = from_torch(theirs)(broken, lengths=lengths)
    torch.testing.assert_close(found[valid], expected[valid], **EXACT)
    assert found.isfinite().all()


@pytest.mark.parametrize(("kind", "layers", "both", "bias"), NETWORKS)
def test_to_torch_and_back_is_where_one_began(kind, layers, both, bias):
    theirs = of_torch(kind, layers, both, bias, dropout=0.25 if layers > 1 else 0.0).eval()
    ours = from_torch(theirs)
    again = to_torch(ours)
    assert type(again) is kind and again.batch_first and not again.training and not ours.training
    assert again.dropout == theirs.dropout and again.mode == theirs.mode
    torch.testing.assert_close(again(normal(2, 6, 3))[0], theirs(normal(2, 6, 3))[0], **EXACT)
    twice = from_torch(again)
    for one, other in zip(ours.parameters(), twice.parameters(), strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        next(ours.parameters()).add_(1.0)
    assert not torch.equal(next(ours.parameters()), next(twice.parameters()))


def test_a_network_of_other_dtype_and_nonlinearity_and_time_first():
    theirs = nn.RNN(2, 3, nonlinearity="relu", dtype=torch.float32)
    ours, x = from_torch(theirs), torch.randn(4, 6, 2)
    assert ours.activation == "relu" and ours.W_xh.dtype == torch.float32
    torch.testing.assert_close(ours(x), theirs(x.transpose(0, 1))[0].transpose(0, 1))


def test_constrained_weights_are_read_as_they_are():
    theirs = of_torch(nn.RNN)
    parametrizations.orthogonal(theirs, "weight_hh_l0")
    x = normal(2, 6, 3)
    torch.testing.assert_close(from_torch(theirs)(x), theirs(x)[0], **EXACT)
    ours = VanillaRNN(3, 5, dtype=torch.float64)
    keep_orthogonal(ours)
    torch.testing.assert_close(to_torch(ours)(x)[0], ours(x), **EXACT)


def test_from_torch_draws_nothing_from_pytorchs_stream():
    theirs = of_torch(nn.GRU, 2, True)
    before = torch.get_rng_state()
    from_torch(theirs)
    assert torch.equal(before, torch.get_rng_state())


BAD = {
    "no network": (
        lambda: from_torch(nn.Linear(2, 3)),
        "rnn must be a torch.nn.RNN, LSTM or GRU: got Linear",
    ),
    "a cell of one step": (
        lambda: from_torch(nn.LSTMCell(2, 3)),
        "rnn must be a torch.nn.RNN, .* got LSTMCell",
    ),
    "a projection": (
        lambda: from_torch(nn.LSTM(2, 4, proj_size=3)),
        "rnn must be without projection: its proj_size is 3",
    ),
    "linear units": (
        lambda: to_torch(VanillaRNN(2, 3, "linear")),
        r"cells that torch.nn has, too: got VanillaRNN\(2, 3, a",
    ),
    "leaky units": (
        lambda: to_torch(LeakyRNN(2, 3, tau=2.0, dt=1.0)),
        r"cells that torch.nn has, too: got LeakyRNN",
    ),
    "minimal units": (lambda: to_torch(MinGRU(2, 3)), r"cells that torch.nn has, too: got MinGRU\(2, 3\)"),
    "reset before": (
        lambda: to_torch(GRU(2, 3, reset="before")),
        r"cells that torch.nn has, too: got GRU\(2, 3, reset='before'\)",
    ),
    "another module": (lambda: to_torch(nn.Linear(2, 3)), "cells that torch.nn has, too: got Linear"),
    "a number": (lambda: to_torch(3), "cells that torch.nn has, too: got int"),
    "two kinds": (
        lambda: to_torch(Stacked(LSTM(2, 3), GRU(3, 3))),
        "model must have cells of one kind, size, bias and",
    ),
    "two sizes": (
        lambda: to_torch(Stacked(LSTM(2, 3), LSTM(3, 4))),
        "model must have cells of one kind, size, bias",
    ),
    "a bias too few": (
        lambda: to_torch(Bidirectional(LSTM(2, 3), LSTM(2, 3, bias=False))),
        "model must have cells of one kind, size, bias",
    ),
    "two dtypes": (
        lambda: to_torch(Stacked(LSTM(2, 3), LSTM(3, 3, dtype=torch.float64))),
        "model must have cells of one kind, size, bias and dtype",
    ),
    "two ways below one": (
        lambda: to_torch(Stacked(Bidirectional(LSTM(2, 3)), LSTM(6, 3))),
        "and as many directions in each layer",
    ),
    "two activations": (
        lambda: to_torch(Bidirectional(VanillaRNN(2, 3), VanillaRNN(2, 3, "relu"))),
        "model must have cells of one kind",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_pytorch_has_not_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
