"""Exercise 8: the coverage of prediction intervals, group by group."""

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict
from helpers.observation import Interval, NegativeBinomial

MISSED_END = (
    "a count that equals an end of its interval lies inside; compare with `<=` at both ends. An interval of "
    "counts can be as narrow as from 3 to 3"
)
MISCONCEPTIONS = (
    (
        "you average over all cells, so that too wide and too narrow intervals cancel; "
        "each group has its own share",
        lambda lower, upper, values, group: _inside(lower, upper, values).mean().expand(int(group.max()) + 1),
    ),
    (MISSED_END, lambda lower, upper, values, group: _share((lower < values) & (values < upper), group)),
    (MISSED_END, lambda lower, upper, values, group: _share((lower <= values) & (values < upper), group)),
    (MISSED_END, lambda lower, upper, values, group: _share((lower < values) & (values <= upper), group)),
    (
        "you divide by the number of all cells; divide by the number of cells in the group",
        lambda lower, upper, values, group: group.bincount(_inside(lower, upper, values)) / len(group),
    ),
    (
        "you return the share outside the interval; coverage is the share inside",
        lambda **cells: 1 - _coverage(**cells),
    ),
)


def coverage(answer, seed: int = 1) -> Verdict:
    """Exercise 8: `answer(lower (N,), upper (N,), values (N,), group (N,)) -> (G,)`, shares from 0 to 1."""
    quiet_and_active = _cells([2] * 40, [8] * 40, [5] * 36 + [9] * 4, [0] * 30 + [1] * 10)
    cases = {
        "four cells of one group, one outside": _cells([1] * 4, [9] * 4, [3, 5, 7, 12], [0] * 4),
        "counts that equal an end": _cells([2, 2, 3, 0], [6, 6, 3, 4], [2, 6, 3, 5], [0, 0, 1, 1]),
        "90 % on average: 100 % in one group, 60 % in the other": quiet_and_active,
        "60 cells in three groups, in no order": _random_cells(torch.Generator().manual_seed(seed)),
    }
    return examine("coverage", answer, cases, _coverage, MISCONCEPTIONS)


def _cells(lower: list[int], upper: list[int], values: list[int], group: list[int]) -> dict[str, Tensor]:
    ends = {"lower": torch.tensor(lower).float(), "upper": torch.tensor(upper).float()}
    return ends | {"values": torch.tensor(values).float(), "group": torch.tensor(group)}


def _random_cells(generator: torch.Generator) -> dict[str, Tensor]:
    """Counts of mean 2, 10 and 50, with 60 % intervals of the right law, for 10, 20 and 30 cells."""
    group = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([10, 20, 30]))
    group = group[torch.randperm(60, generator=generator)]
    law = NegativeBinomial(mean=torch.tensor([2.0, 10.0, 50.0])[group], dispersion=torch.tensor(0.3))
    interval = law.interval(0.6)
    ends = {"lower": interval.lower, "upper": interval.upper}
    return ends | {"values": law.sample(generator), "group": group}


def _coverage(lower: Tensor, upper: Tensor, values: Tensor, group: Tensor) -> Tensor:
    return _share(Interval(lower, upper).contains(values), group)


def _inside(lower: Tensor, upper: Tensor, values: Tensor) -> Tensor:
    return Interval(lower, upper).contains(values).double()


def _share(chosen: Tensor, group: Tensor) -> Tensor:
    """Share of each group that is chosen, (G,)."""
    return group.bincount(chosen.double()) / group.bincount()
