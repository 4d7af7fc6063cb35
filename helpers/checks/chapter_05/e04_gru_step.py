"""Exercise 4: one step of a GRU in the book's convention, and how many weights both cells have."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine

INPUTS, UNITS = 10, 64
BLOCK = UNITS * INPUTS + UNITS**2  # the weights of one gate, without its bias


def _gru_step(
    h: Tensor,
    x: Tensor,
    W_xh: Tensor,
    W_hh: Tensor,
    b: Tensor,
    b_hn: Tensor,
    *,
    order: str = "rzn",
    candidate: Callable = lambda x_n, h_n, b_hn, r: torch.tanh(x_n + r * (h_n + b_hn)),
    move: Callable = lambda h, n, z: (1 - z) * h + z * n,
) -> Tensor:
    """h_t (B, H), whose unit moves as far as z is open."""
    of_x = dict(zip(order, (x @ W_xh.mT + b).chunk(3, -1), strict=True))
    of_h = dict(zip(order, (h @ W_hh.mT).chunk(3, -1), strict=True))
    r, z = (torch.sigmoid(of_x[gate] + of_h[gate]) for gate in "rz")
    return move(h, candidate(of_x["n"], of_h["n"], b_hn, r), z)


def _reset_before(h: Tensor, x: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor, b_hn: Tensor) -> Tensor:
    """W_hn (r ⊙ h), as in the papers."""
    x_r, x_z, x_n = (x @ W_xh.mT + b).chunk(3, -1)
    W_r, W_z, W_n = W_hh.chunk(3)
    r, z = torch.sigmoid(x_r + h @ W_r.mT), torch.sigmoid(x_z + h @ W_z.mT)
    return (1 - z) * h + z * torch.tanh(x_n + (r * h) @ W_n.mT + b_hn)


MISCONCEPTIONS = (
    (
        "that is PyTorch's z, which says how much is *kept*; in this book z says how much is new: z = 0 "
        "keeps the state",
        partial(_gru_step, move=lambda h, n, z: z * h + (1 - z) * n),
    ),
    (
        "you reset before the matrix product, W_hn (r ⊙ h), as both papers do; here it comes after, "
        "r ⊙ (W_hn h + b_hn)",
        _reset_before,
    ),
    (
        "your r and z are exchanged: the first block of rows is the reset gate's, the second the update "
        "gate's",
        partial(_gru_step, order="zrn"),
    ),
    (
        "b_hn belongs inside the bracket that r multiplies",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: torch.tanh(x_n + r * h_n + b_hn)),
    ),
    (
        "b_hn is missing: r multiplies W_hn h_{t-1} + b_hn",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: torch.tanh(x_n + r * h_n)),
    ),
    (
        "your reset gate shuts out the input, too; it decides only how much of the past the candidate sees",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: torch.tanh(r * (x_n + h_n + b_hn))),
    ),
    (
        "your candidate sees all of the past: the reset gate is missing",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: torch.tanh(x_n + h_n + b_hn)),
    ),
    (
        "your candidate is not squashed: n is a tanh",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: x_n + r * (h_n + b_hn)),
    ),
    (
        "your candidate is a sigmoid; n is a tanh, between -1 and 1",
        partial(_gru_step, candidate=lambda x_n, h_n, b_hn, r: torch.sigmoid(x_n + r * (h_n + b_hn))),
    ),
    (
        "you add the new to all of the old; what z renews it takes from the old, 1 - z",
        partial(_gru_step, move=lambda h, n, z: h + z * n),
    ),
    (
        "that is the candidate; the unit moves towards it only as far as z is open",
        partial(_gru_step, move=lambda h, n, z: n),
    ),
)
LSTM_WEIGHTS = Number(
    "lstm_weights",
    truth=4 * (BLOCK + UNITS),
    right="{answer:g}, four blocks of HD + H² + H",
    slips=(
        (4 * BLOCK, "the biases are missing, H for each block"),
        (
            4 * (BLOCK + 2 * UNITS),
            "PyTorch stores two biases, which only ever act as their sum; b counts once",
        ),
        (BLOCK + UNITS, "that is one block, a vanilla network"),
        (3 * (BLOCK + UNITS), "count the blocks: three gates and the candidate"),
    ),
    recipe="how many rows does one block of W_xh, of W_hh and of b have, and how long are they?",
)
GRU_WEIGHTS = Number(
    "gru_weights",
    truth=3 * (BLOCK + UNITS) + UNITS,
    right="{answer:g}, three blocks of HD + H² + H, and b_hn",
    slips=(
        (3 * (BLOCK + UNITS), "b_hn, inside the reset, is missing"),
        (3 * BLOCK, "the biases are missing"),
        (3 * (BLOCK + 2 * UNITS), "PyTorch stores two biases for r and z, too, which act as their sum"),
        (4 * (BLOCK + UNITS), "that is the LSTM; a GRU has two gates and the candidate"),
    ),
    recipe="how many rows does one block of W_xh, of W_hh and of b have, and what is b_hn?",
)


def gru_step(answer, lstm_weights: object = None, gru_weights: object = None, seed: int = 1) -> Verdict:
    """Exercise 4: `answer(h, x, W_xh (3H, D), W_hh (3H, H), b, b_hn (H,)) -> (B, H)`, and two counts."""
    draws = torch.Generator().manual_seed(seed)
    held = _cell(draws, series=2, inputs=2, units=3)
    held["b"][3:6] = -60.0
    cases = {
        "one unit, by hand": {
            "h": torch.ones(1, 1),
            "x": torch.zeros(1, 1),
            "W_xh": torch.zeros(3, 1),
            "W_hh": torch.tensor([[0.0], [0.0], [2.0]]),
            "b": torch.zeros(3),
            "b_hn": torch.tensor([-2.0]),
        },
        "z = 0, which keeps": held,
        "two inputs, two units, at random": _cell(draws, series=1, inputs=2, units=2),
        "five series, three inputs, four units": _cell(draws, series=5, inputs=3, units=4),
    }
    step = examine("gru_step", answer, cases, _gru_step, MISCONCEPTIONS)
    return combine("gru_step", step, LSTM_WEIGHTS.judge(lstm_weights), GRU_WEIGHTS.judge(gru_weights))


def _cell(draws: Generator, series: int, inputs: int, units: int) -> dict[str, Tensor]:
    shapes = {
        "h": (series, units),
        "x": (series, inputs),
        "W_xh": (3 * units, inputs),
        "W_hh": (3 * units, units),
        "b": (3 * units,),
        "b_hn": (units,),
    }
    return {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()}
