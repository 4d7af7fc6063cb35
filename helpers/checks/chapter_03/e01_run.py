"""Exercise 1: the cell of a vanilla RNN, run over a batch of series."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _states(
    x: Tensor,
    h_0: Tensor,
    W_xh: Tensor,
    W_hh: Tensor,
    b: Tensor,
    *,
    cell: Callable = lambda read, remembered, b: torch.tanh(read + remembered + b),
) -> Tensor:
    """Every state, (B, T, H), of a cell that combines what it read, what it remembered, and its bias."""
    states = [h_0]
    for x_t in x.unbind(1):
        states.append(cell(x_t @ W_xh.T, states[-1] @ W_hh.T, b))
    return torch.stack(states[1:], 1)


MISCONCEPTIONS = (
    (
        "you add the bias after squashing; b belongs inside φ, where it shifts the point at which a unit "
        "switches",
        partial(_states, cell=lambda read, remembered, b: torch.tanh(read + remembered) + b),
    ),
    (
        "your cell has no bias: add b inside φ",
        partial(_states, cell=lambda read, remembered, b: torch.tanh(read + remembered)),
    ),
    (
        "the activation is missing: without φ this is the linear RNN of chapter 2",
        partial(_states, cell=lambda read, remembered, b: read + remembered + b),
    ),
    (
        "you squash the input only; what is remembered belongs inside φ too",
        partial(_states, cell=lambda read, remembered, b: torch.tanh(read + b) + remembered),
    ),
    (
        "you use the transpose of W_hh: row i of W_hh says what unit i hears. States are rows here, so that "
        "W h is `h @ W.T`",
        lambda x, h_0, W_xh, W_hh, b: _states(x, h_0, W_xh, W_hh.T, b),
    ),
    (
        "you use the transpose of W_xh: row i of W_xh says what unit i reads. Inputs are rows here, so that "
        "W x is `x @ W.T`",
        lambda x, h_0, W_xh, W_hh, b: _states(x, h_0, _transpose_if_square(W_xh), W_hh, b),
    ),
    (
        "your h_t reads x_{t-1}; the state after step t has read x_t already",
        lambda x, h_0, W_xh, W_hh, b: _states(_one_step_late(x, 0 * x[:, 0]), h_0, W_xh, W_hh, b),
    ),
    (
        "your entry for step t is the state before it: append h after the update, not before",
        lambda x, h_0, W_xh, W_hh, b: _one_step_late(_states(x, h_0, W_xh, W_hh, b), h_0),
    ),
    (
        "every step of yours starts from h_0 again: the state of one step is what the next remembers",
        lambda x, h_0, W_xh, W_hh, b: torch.tanh(x @ W_xh.T + (h_0 @ W_hh.T)[:, None] + b),
    ),
)


def run(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(x (B, T, D), h_0 (B, H), W_xh (H, D), W_hh (H, H), b (H,)) -> (B, T, H)`."""
    generator = torch.Generator().manual_seed(seed)
    pulse = torch.eye(3)[None, :, :1]
    relay = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    cases = {
        "one unit, one pulse, by hand": _cell(pulse, torch.zeros(1, 1), torch.eye(1) * 2),
        "unit 1 tells unit 2": _cell(torch.zeros(1, 3, 1), torch.tensor([[0.5, 0.0]]), relay),
        "two inputs, two units, at random": _network(generator, series=1, steps=4, inputs=2, units=2),
        "four series, three inputs, five units": _network(generator, series=4, steps=7, inputs=3, units=5),
    }
    return examine("run", answer, cases, _states, MISCONCEPTIONS)


def _cell(x: Tensor, h_0: Tensor, W_hh: Tensor) -> dict[str, Tensor]:
    """Every unit reads the one input as it is, and no unit has a bias."""
    units = len(W_hh)
    return {"x": x, "h_0": h_0, "W_xh": torch.ones(units, 1), "W_hh": W_hh, "b": torch.zeros(units)}


def _network(generator: Generator, series: int, steps: int, inputs: int, units: int) -> dict[str, Tensor]:
    shapes = {
        "x": (series, steps, inputs),
        "h_0": (series, units),
        "W_xh": (units, inputs),
        "W_hh": (units, units),
        "b": (units,),
    }
    return {name: 0.6 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _one_step_late(series: Tensor, first: Tensor) -> Tensor:
    """A series (B, T, D) that begins with `first` (B, D) and has lost its last entry."""
    return torch.cat([first[:, None], series[:, :-1]], 1)


def _transpose_if_square(W: Tensor) -> Tensor:
    """Only where there are as many inputs as units can the transpose be used by mistake."""
    return W.T if W.shape[0] == W.shape[1] else W * torch.nan
