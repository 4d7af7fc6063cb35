"""Exercise 9: a state rebuilt from one measured variable and its past, and how many values that takes."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict

DIMENSION, LARGEST = 2, 6  # of Hénon's map, and the largest tried in the exercise


def _vectors(
    x: Tensor, delay: int, dimension: int, *, row: Callable = lambda newest_first: newest_first
) -> Tensor:
    """Row for t = (m-1) d … T-1: (x_t, x_{t-d}, …, x_{t-(m-1)d})."""
    first = (dimension - 1) * delay
    return torch.stack([row(x[t - first : t + 1 : delay].flip(0)) for t in range(first, len(x))])


def _wrapped(x: Tensor, delay: int, dimension: int) -> Tensor:
    """By `torch.roll`, which puts the end of the series before its beginning; cut at the wrong end."""
    rows = len(x) - (dimension - 1) * delay
    return torch.stack([x.roll(lag * delay) for lag in range(dimension)], 1)[:rows]


MISCONCEPTIONS = (
    Misconception(
        "your columns run forwards, (x_t, x_{t+d}, …), and from t that looks ahead. Column 0 holds the "
        "newest value, x_t",
        lambda x, delay, dimension: _vectors(x, delay, dimension, row=lambda v: v.flip(0)),
    ),
    Misconception(
        "the values of a row follow each other directly; they must be `delay` steps apart",
        lambda x, delay, dimension: _vectors(x[(dimension - 1) * (delay - 1) :], 1, dimension),
    ),
    Misconception(
        "the values of a row follow each other directly, and forwards; they must be `delay` steps apart, the "
        "newest first",
        lambda x, delay, dimension: x[: len(x) - (dimension - 1) * (delay - 1)].unfold(0, dimension, 1),
    ),
    Misconception(
        "`torch.roll` wraps around: your first rows hold values from the end of the series as if they were "
        "the past. The first row with a whole past is t = (m-1) d",
        _wrapped,
    ),
    Misconception(
        "your rows run backwards in time; row 0 belongs to the earliest t",
        lambda x, delay, dimension: _vectors(x, delay, dimension).flip(0),
    ),
)


def delay_vectors(answer, dimension: object = None, seed: int = 1) -> Verdict:
    """Exercise 9: `answer(x (T,), delay, dimension) -> (T - (m-1) d, m)`, and the dimension of a series."""
    if is_blank(answer) and is_blank(dimension):
        return Verdict("delay_vectors")
    x = torch.randn(30, generator=torch.Generator().manual_seed(seed))
    cases = (
        Case("delay 1, dimension 2, rows for t = 1 to 9", _series(torch.arange(10.0), 1, 2)),
        Case("delay 2, dimension 3, rows for t = 4 to 9", _series(torch.arange(10.0), 2, 3)),
        Case("delay 5, dimension 4, rows for t = 15 to 29", _series(x, 5, 4)),
        Case("dimension 1, the series as a column", _series(x, 3, 1)),
    )
    rebuilt = examine("delay_vectors", answer, cases, _vectors, MISCONCEPTIONS).items
    missing = () if rebuilt else (Item(False, "delay_vectors: not answered yet"),)
    return Verdict("delay_vectors", (*rebuilt, *missing, _dimension_chosen(dimension)))


def census(seasons: int = 2500) -> Tensor:
    """A density counted once per season, relative to some level, (seasons,): the x of Hénon's map."""
    x = [0.1, 0.1]
    for _ in range(seasons + 100):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    return torch.tensor(x[-seasons:], dtype=torch.float64)


def _series(x: Tensor, delay: int, dimension: int) -> dict[str, Tensor | int]:
    return {"x": x, "delay": delay, "dimension": dimension}


def _dimension_chosen(answer: object) -> Item:
    chosen = as_number(answer)
    if chosen is None:
        return no_number("dimension", answer)
    if chosen == DIMENSION:
        return Item(True, "dimension: 2, the first without false neighbours; x_t and x_{t-1} give x_{t+1}")
    slips = (
        (1, "x_t alone is no state: four of five neighbours on the line are false"),
        (0, "entry 0 of the shares belongs to dimension 1"),
        (2 * DIMENSION + 1, "Takens' 2 D + 1 is always enough, and often more than is needed"),
        (LARGEST, "it is enough, and more than is needed: each further value adds its own noise"),
    )
    recipe = "take the first dimension with fewer than 1 % false neighbours"
    return wrong_number("dimension", chosen, slips, recipe)
