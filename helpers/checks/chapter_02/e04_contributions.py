"""Exercise 4: what each input contributed to the state of a linear RNN."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _power(W: Tensor, lag: int) -> Tensor:
    return torch.linalg.matrix_power(W, lag)


def _unroll(
    W: Tensor, U: Tensor, h_0: Tensor, x: Tensor, *, power: Callable = _power, late: int = 0
) -> Tensor:
    """Row i is W^(i + late) U x[T-1-i], and the last row is W^T h_0."""
    rows = [power(W, lag + late) @ U @ value for lag, value in enumerate(x.flip(0))]
    return torch.stack([*rows, power(W, len(x)) @ h_0])


MISCONCEPTIONS = (
    (
        "the inputs are the wrong way round: lag 0 belongs to the last row of x, which has just come in and "
        "has not been through W yet",
        lambda W, U, h_0, x: _unroll(W, U, h_0, x.flip(0)),
    ),
    (
        "each contribution is right, in the wrong row: row 0 is lag 0, the latest input",
        lambda W, U, h_0, x: torch.cat([_unroll(W, U, h_0, x)[:-1].flip(0), _unroll(W, U, h_0, x)[-1:]]),
    ),
    (
        "you apply W once too often: the input of lag i has been through W i times, the latest not at all",
        lambda W, U, h_0, x: _unroll(W, U, h_0, x, late=1),
    ),
    (
        "`W ** i` raises each entry by itself; the power of a matrix is `torch.linalg.matrix_power(W, i)`",
        lambda W, U, h_0, x: _unroll(W, U, h_0, x, power=torch.pow),
    ),
    (
        "you use the transpose of W; with h a column, the step is W h",
        lambda W, U, h_0, x: _unroll(W.T, U, h_0, x),
    ),
    (
        "the last row is W^T h_0: the initial state has been through W at every one of the T steps",
        lambda W, U, h_0, x: torch.cat([_unroll(W, U, h_0, x)[:-1], (_power(W, len(x) - 1) @ h_0)[None]]),
    ),
    (
        "the last row is W^T h_0, and not h_0 itself: the initial state fades like everything else",
        lambda W, U, h_0, x: torch.cat([_unroll(W, U, h_0, x)[:-1], h_0[None]]),
    ),
)


def contributions(answer, seed: int = 1) -> Verdict:
    """Exercise 4: `answer(W (H, H), U (H, D), h_0 (H,), x (T, D)) -> (T + 1, H)`."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {"W": torch.tensor([[0.5]]), "U": torch.tensor([[2.0]]), "h_0": torch.tensor([16.0])}
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    pulse = {"W": 0.9 * rotation, "U": torch.eye(2)[:, :1], "h_0": torch.zeros(2), "x": torch.eye(5)[:, :1]}
    cases = {
        "one unit, three inputs, by hand": by_hand | {"x": torch.tensor([[4.0], [6.0], [1.0]])},
        "one pulse into a rotation that fades": pulse,
        "no input, only an initial state": pulse | {"h_0": torch.tensor([1.0, 2.0]), "x": torch.zeros(4, 1)},
        "three units, two inputs, six steps, at random": {
            "W": 0.5 * torch.randn(3, 3, generator=generator),
            "U": torch.randn(3, 2, generator=generator),
            "h_0": torch.randn(3, generator=generator),
            "x": torch.randn(6, 2, generator=generator),
        },
    }
    return examine("contributions", answer, cases, _unroll, MISCONCEPTIONS)
