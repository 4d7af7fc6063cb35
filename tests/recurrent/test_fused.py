"""The fused kernel gives what the equations give: values, gradients, last states, second derivatives."""

import numpy as np
import pytest
import torch
from gated_cells import FAST, FUSED, make, normal, series_with_holes

from helpers.recurrent import fused

TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-12}
SIZES = {"small": (3, 7, 3, 4), "as in a chapter": (16, 50, 8, 64)}
"""Series, steps, features and units; mkldnn takes another way for large ones."""


def run(model, x, h0, fast, lengths, order=1):
    """Outputs, last state and gradients of all that they depend on; of order 2, of the gradients' size."""
    x, h0 = x.clone().requires_grad_(), h0.clone().requires_grad_()
    outputs, last = model(x, h0, fast=fast, lengths=lengths, return_last=True)
    leaves = [x, h0, *model.parameters()]
    value = (outputs.square() * normal(*outputs.shape, seed=5).to(x)).sum() + last.sin().sum()
    gradients = torch.autograd.grad(value, leaves, create_graph=order == 2)
    if order == 2:
        size = sum(gradient.square().sum() for gradient in gradients)
        gradients = torch.autograd.grad(size, leaves)
    return outputs, last, *(gradient / gradient.abs().max() for gradient in gradients)


@pytest.mark.parametrize("order", [1, 2], ids=["gradient", "second derivatives"])
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "of several lengths"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", FAST)
def test_both_paths_are_one_function(kind, dtype, size, bias, ragged, order, device):
    series, steps, features, units = SIZES[size]
    model = make(kind, features, units, dtype=dtype, bias=bias).to(device)
    x, h0 = normal(series, steps, features).to(device, dtype), normal(series, model.state_size, seed=3)
    lengths = torch.arange(series, device=device) * steps // (series - 1) if ragged else None
    found, expected = (run(model, x, h0.to(x), fast, lengths, order) for fast in (True, False))
    tolerance = TOLERANCE[dtype] * (10 if order == 2 else 1)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", FUSED)
def test_the_kernel_runs_where_nothing_prevents_it(kind, monkeypatch):
    calls = []
    kernel = fused._call
    monkeypatch.setattr(fused, "_call", lambda *arguments: calls.append(1) or kernel(*arguments))
    model, batch = make(kind), series_with_holes()
    x = normal(3, 5, 3)
    mask = torch.ones_like(x).bool()
    mask[:, 1:, 0] = False

    def runs(*arguments, **how):
        calls.clear()
        model(*arguments, **how)
        return bool(calls)

    assert runs(x) and runs(x, lengths=torch.tensor([5, 0, 2])) and runs(x, mask=mask)
    assert runs(x, return_last=True) and runs(x, fast=True) and model.eval() and runs(x)
    assert not runs(x, fast=False) and not runs(x, fast=np.False_) and not runs(x, fast=0)
    assert runs(x, fast=np.True_) and not runs(x, return_gates=True) and not runs(batch)
    assert not runs(x[:0]) and not runs(x[:, :0])


@pytest.mark.parametrize("kind", FUSED)
def test_derivatives_for_many_vectors_at_once(kind):
    model, x = make(kind), normal(2, 4, 3)
    by_rows = torch.autograd.functional.jacobian(lambda x: model(x, fast=False), x)
    at_once = torch.autograd.functional.jacobian(model, x, vectorize=True)
    torch.testing.assert_close(at_once, by_rows, rtol=1e-12, atol=1e-12)


HOLES = series_with_holes()
REFUSED = {
    "gates": (
        "LSTM",
        lambda model: model(normal(1, 2, 3), return_gates=True, fast=True),
        "fast must be False or left out: the fused kernel keeps no gates",
    ),
    "a hole": (
        "LSTM",
        lambda model: model(HOLES, fast=True),
        "fast must be False or left out: a step in the middle of a series, at which nothing was observed",
    ),
    "no series": (
        "GRU, reset after",
        lambda model: model(normal(0, 2, 3), fast=True),
        "fast must be False or left out: the fused kernel needs at least one series, one step and",
    ),
    "reset before": (
        "GRU, reset before",
        lambda model: model(normal(1, 2, 3), fast=True),
        "fast must be False or left out: the fused kernel cannot run this cell, for it knows a reset",
    ),
    "inside torch.func": (
        "LSTM",
        lambda model: torch.func.vmap(lambda x: model(x, fast=True))(normal(2, 1, 2, 3)),
        "fast must be False or left out: the fused kernel cannot be run inside torch.func",
    ),
    "gates of a scan": (
        "minimal GRU",
        lambda model: model(normal(1, 2, 3), return_gates=True, fast=True),
        "fast must be False or left out: the scan keeps no gates",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_says_why_it_cannot_run(case):
    kind, call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call(make(kind))
