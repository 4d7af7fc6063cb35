"""Exercise 9: a state rebuilt from one measured variable and its past, and how many values that takes."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine

DIMENSION = Number(
    "dimension",
    truth=2,
    right="2, the first without false neighbours; x_t and x_{{t-1}} give x_{{t+1}}",
    slips=(
        (1, "x_t alone is no state: four of five neighbours on the line are false"),
        (0, "entry 0 of the shares belongs to dimension 1"),
        (5, "Takens' 2 D + 1 is always enough, and often more than is needed"),
        (6, "it is enough, and more than is needed: each further value adds its own noise"),
    ),
    recipe="take the first dimension with fewer than 1 % false neighbours",
)


def _vectors(
    x: Tensor, delay: int, dimension: int, *, row: Callable = lambda newest_first: newest_first
) -> Tensor:
    """Row for t = (m-1) d … T-1: (x_t, x_{t-d}, …, x_{t-(m-1)d})."""
    first = (dimension - 1) * delay
    return torch.stack([row(x[t - first : t + 1 : delay].flip(0)) for t in range(first, len(x))])


MISCONCEPTIONS = (
    (
        "your columns run forwards, (x_t, x_{t+d}, …), and from t that looks ahead. Column 0 holds the "
        "newest value, x_t",
        lambda x, delay, dimension: _vectors(x, delay, dimension, row=lambda v: v.flip(0)),
    ),
    (
        "the values of a row follow each other directly; they must be `delay` steps apart",
        lambda x, delay, dimension: _vectors(x[(dimension - 1) * (delay - 1) :], 1, dimension),
    ),
    (
        "the values of a row follow each other directly, and forwards; they must be `delay` steps apart, the "
        "newest first",
        lambda x, delay, dimension: x[: len(x) - (dimension - 1) * (delay - 1)].unfold(0, dimension, 1),
    ),
    (
        "`torch.roll` wraps around: your first rows hold values from the end of the series as if they were "
        "the past. The first row with a whole past is t = (m-1) d",
        lambda x, delay, dimension: torch.stack(
            [x.roll(lag * delay)[: len(x) - (dimension - 1) * delay] for lag in range(dimension)], 1
        ),
    ),
    (
        "your rows run backwards in time; row 0 belongs to the earliest t",
        lambda x, delay, dimension: _vectors(x, delay, dimension).flip(0),
    ),
)


def delay_vectors(answer, dimension: object = None, seed: int = 1) -> Verdict:
    """Exercise 9: `answer(x (T,), delay, dimension) -> (T - (m-1) d, m)`, and the dimension of a series."""
    x = torch.randn(30, generator=torch.Generator().manual_seed(seed))
    cases = {
        "delay 1, dimension 2, rows for t = 1 to 9": _series(torch.arange(10.0), 1, 2),
        "delay 2, dimension 3, rows for t = 4 to 9": _series(torch.arange(10.0), 2, 3),
        "delay 5, dimension 4, rows for t = 15 to 29": _series(x, 5, 4),
        "dimension 1, the series as a column": _series(x, 3, 1),
    }
    rebuilt = examine("delay_vectors", answer, cases, _vectors, MISCONCEPTIONS)
    return combine("delay_vectors", rebuilt, DIMENSION.judge(dimension))


def census(seasons: int = 2500) -> Tensor:
    """A density counted once per season, relative to some level, (seasons,): the x of Hénon's map."""
    x = [0.1, 0.1]
    for _ in range(seasons + 100):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    return torch.tensor(x[-seasons:], dtype=torch.float64)


def _series(x: Tensor, delay: int, dimension: int) -> dict[str, Tensor | int]:
    return {"x": x, "delay": delay, "dimension": dimension}
