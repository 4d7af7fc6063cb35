"""Exercise 1: a vanilla RNN, run over batches of series, and several networks at once."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _states(
    x: Tensor,
    h: Tensor,
    W_xh: Tensor,
    W_hh: Tensor,
    b: Tensor,
    *,
    step: Callable = lambda read, remembered, b: torch.tanh(read + remembered + b),
) -> Tensor:
    """Every state, (..., B, T, H), where `step` puts together what is read, what is remembered, and b."""
    states = [h]
    for x_t in x.unbind(-2):
        states.append(step(x_t @ W_xh.mT, states[-1] @ W_hh.mT, b))
    return torch.stack(states[1:], -2)


MISCONCEPTIONS = (
    (
        "you add the bias after squashing; b belongs inside φ, where it shifts the point at which a unit "
        "switches",
        partial(_states, step=lambda read, remembered, b: torch.tanh(read + remembered) + b),
    ),
    (
        "your network has no bias: add b inside φ",
        partial(_states, step=lambda read, remembered, b: torch.tanh(read + remembered)),
    ),
    (
        "the activation is missing: without φ this is the linear RNN of chapter 2",
        partial(_states, step=lambda read, remembered, b: read + remembered + b),
    ),
    (
        "you squash the input only; what is remembered belongs inside φ too",
        partial(_states, step=lambda read, remembered, b: torch.tanh(read + b) + remembered),
    ),
    (
        "you use the transpose of W_hh: row i of W_hh says what unit i hears. States are rows here, so that "
        "W h is `h @ W.mT`",
        lambda x, h, W_xh, W_hh, b: _states(x, h, W_xh, W_hh.mT, b),
    ),
    (
        "you use the transpose of W_xh: row i of W_xh says what unit i reads. Inputs are rows here, so that "
        "W x is `x @ W.mT`",
        lambda x, h, W_xh, W_hh, b: _states(x, h, _transpose_if_square(W_xh), W_hh, b),
    ),
    (
        "your h_t reads x_{t-1}; the state after step t has read x_t already",
        lambda x, h, W_xh, W_hh, b: _states(_one_step_late(x, 0 * x[..., 0, :]), h, W_xh, W_hh, b),
    ),
    (
        "your entry for step t is the state before it: append h after the update, not before",
        lambda x, h, W_xh, W_hh, b: _one_step_late(_states(x, h, W_xh, W_hh, b), h),
    ),
    (
        "every step of yours starts from the first state again: the state of one step is what the next "
        "remembers",
        lambda x, h, W_xh, W_hh, b: torch.cat([_states(x_t, h, W_xh, W_hh, b) for x_t in x.split(1, -2)], -2),
    ),
)


def run(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(x (..., B, T, D), h (..., B, H), W_xh, W_hh, b) -> (..., B, T, H)`."""
    generator = torch.Generator().manual_seed(seed)
    pulse = torch.eye(3)[None, :, :1]
    relay = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    cases = {
        "one unit, one pulse, by hand": _reading_one_input(pulse, torch.zeros(1, 1), torch.eye(1) * 2),
        "unit 1 tells unit 2": _reading_one_input(torch.zeros(1, 3, 1), torch.tensor([[0.5, 0.0]]), relay),
        "two inputs, two units, at random": _network(generator, series=1, steps=4, inputs=2, units=2),
        "four series, three inputs, five units": _network(generator, series=4, steps=7, inputs=3, units=5),
        "three networks at once": _network(generator, series=2, steps=5, inputs=2, units=4, networks=3),
    }
    return examine("run", answer, cases, _states, MISCONCEPTIONS)


def _reading_one_input(x: Tensor, h: Tensor, W_hh: Tensor) -> dict[str, Tensor]:
    """Every unit reads the one input as it is, and no unit has a bias."""
    units = len(W_hh)
    return {"x": x, "h": h, "W_xh": torch.ones(units, 1), "W_hh": W_hh, "b": torch.zeros(units)}


def _network(
    generator: Generator, series: int, steps: int, inputs: int, units: int, networks: int | None = None
) -> dict[str, Tensor]:
    """One network, or several, which stand on an axis in front, each with its own series."""
    front, bias = ((), (units,)) if networks is None else ((networks,), (networks, 1, units))
    shapes = {
        "x": (*front, series, steps, inputs),
        "h": (*front, series, units),
        "W_xh": (*front, units, inputs),
        "W_hh": (*front, units, units),
        "b": bias,
    }
    return {name: 0.6 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _one_step_late(series: Tensor, first: Tensor) -> Tensor:
    """A series (..., T, D) that begins with `first` (..., D) and has lost its last entry."""
    return torch.cat([first.unsqueeze(-2), series[..., :-1, :]], -2)


def _transpose_if_square(W: Tensor) -> Tensor:
    """Only where there are as many inputs as units can the transpose be used by mistake."""
    return W.mT if W.shape[-2] == W.shape[-1] else W * torch.nan
