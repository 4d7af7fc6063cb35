"""Exercise 1: the cell of a vanilla RNN, run over a batch of series."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Verdict


def _squashed_sum(read: Tensor, remembered: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(read + remembered + b)


def _states(
    x: Tensor, h_0: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor, *, cell: Callable = _squashed_sum
) -> Tensor:
    """Every state, (B, T, H), of a cell that combines what it read, what it remembered, and its bias."""
    states = [h_0]
    for x_t in x.unbind(1):
        states.append(cell(x_t @ W_xh.T, states[-1] @ W_hh.T, b))
    return torch.stack(states[1:], 1)


def _with_cell(cell: Callable) -> Callable[..., Tensor]:
    return lambda **network: _states(**network, cell=cell)


def _input_weights_transposed(x: Tensor, h_0: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor) -> Tensor:
    """Possible only where there are as many inputs as units."""
    square = W_xh.shape[0] == W_xh.shape[1]
    return _states(x, h_0, W_xh.T if square else W_xh * torch.nan, W_hh, b)


def _one_input_late(x: Tensor, h_0: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor) -> Tensor:
    return _states(torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), h_0, W_xh, W_hh, b)


def _always_from_the_start(x: Tensor, h_0: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ W_xh.T + (h_0 @ W_hh.T)[:, None] + b)


MISCONCEPTIONS = (
    Misconception(
        "you add the bias after squashing; b belongs inside φ, where it shifts the point at which a unit "
        "switches",
        _with_cell(lambda read, remembered, b: torch.tanh(read + remembered) + b),
    ),
    Misconception(
        "your cell has no bias: add b inside φ",
        _with_cell(lambda read, remembered, b: torch.tanh(read + remembered)),
    ),
    Misconception(
        "the activation is missing: without φ this is the linear RNN of chapter 2",
        _with_cell(lambda read, remembered, b: read + remembered + b),
    ),
    Misconception(
        "you squash the input only; what is remembered belongs inside φ too",
        _with_cell(lambda read, remembered, b: torch.tanh(read + b) + remembered),
    ),
    Misconception(
        "you use the transpose of W_hh: row i of W_hh says what unit i hears. States are rows here, so that "
        "W h is `h @ W.T`",
        lambda **network: _states(**network | {"W_hh": network["W_hh"].T}),
    ),
    Misconception(
        "you use the transpose of W_xh: row i of W_xh says what unit i reads. Inputs are rows here, so that "
        "W x is `x @ W.T`",
        _input_weights_transposed,
    ),
    Misconception(
        "your h_t reads x_{t-1}; the state after step t has read x_t already",
        _one_input_late,
    ),
    Misconception(
        "your entry for step t is the state before it: append h after the update, not before",
        lambda **network: torch.cat([network["h_0"][:, None], _states(**network)[:, :-1]], 1),
    ),
    Misconception(
        "every step of yours starts from h_0 again: the state of one step is what the next remembers",
        _always_from_the_start,
    ),
)


def run(answer, seed: int = 1) -> Verdict:
    """Exercise 1: `answer(x (B, T, D), h_0 (B, H), W_xh (H, D), W_hh (H, H), b (H,)) -> (B, T, H)`."""
    generator = torch.Generator().manual_seed(seed)
    pulse = torch.eye(3)[None, :, :1]
    relay = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    cases = (
        Case("one unit, one pulse, by hand", _cell(pulse, torch.zeros(1, 1), torch.eye(1) * 2)),
        Case("unit 1 tells unit 2", _cell(torch.zeros(1, 3, 1), torch.tensor([[0.5, 0.0]]), relay)),
        Case("two inputs, two units, at random", _network(generator, series=1, steps=4, inputs=2, units=2)),
        Case("four series, three inputs, five units", _network(generator, 4, steps=7, inputs=3, units=5)),
    )
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
