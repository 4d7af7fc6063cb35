"""Exercise 2: the time since each feature was last observed."""

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict
from helpers.series import IrregularBatch

MISCONCEPTIONS = (
    (
        "you reset δ at the observation itself; equation 1 resets it at the step after, because the time "
        "that has passed before an observation tells how stale the previous one had become",
        lambda times, mask: _deltas(times, mask) * ~mask,
    ),
    (
        "you read the mask of the step itself, m[t]; equation 1 asks whether the step before, m[t-1], was "
        "observed",
        lambda times, mask: _since_last_restart(times, mask),
    ),
    (
        "δ does not accumulate over a gap; where m[t-1] is False, equation 1 adds δ[t-1]",
        lambda times, mask: _deltas(times, torch.ones_like(mask)),
    ),
    (
        "δ never restarts; where m[t-1] is True, equation 1 drops δ[t-1]",
        lambda times, mask: _deltas(times, torch.zeros_like(mask)),
    ),
    ("the mask is the wrong way round: True means observed", lambda times, mask: _deltas(times, ~mask)),
    (
        "you count steps; δ is a time, the difference of two entries of `times`",
        lambda times, mask: _deltas(torch.arange(len(times)).to(times), mask),
    ),
    (
        "an observation of any feature resets all of them; each column of the mask has its own δ",
        lambda times, mask: _deltas(times, mask.any(1, keepdim=True).expand_as(mask)),
    ),
)


def deltas(answer, seed: int = 1) -> Verdict:
    """Exercise 2: `answer(times (T,), mask (T, D)) -> (T, D)`, the time since an observation."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.ones(4, 1, dtype=torch.bool)
    gap = torch.tensor([[1], [0], [0], [1], [1]], dtype=torch.bool)
    late = torch.tensor([[0], [0], [1], [0]], dtype=torch.bool)
    never = torch.zeros(3, 1, dtype=torch.bool)
    cases = {
        "everything observed": {"times": torch.tensor([0.0, 1.0, 3.0, 6.0]), "mask": every},
        "a gap of two": {"times": torch.tensor([0.0, 0.5, 2.0, 3.0, 7.0]), "mask": gap},
        "first observed late": {"times": torch.tensor([2.0, 3.0, 5.0, 9.0]), "mask": late},
        "never observed": {"times": torch.tensor([1.0, 2.0, 4.0]), "mask": never},
        "eight visits, three features, at random": {
            "times": _visit_times(8, generator),
            "mask": torch.rand(8, 3, generator=generator) < 0.5,
        },
    }
    return examine("deltas", answer, cases, _deltas, MISCONCEPTIONS)


def _deltas(times: Tensor, mask: Tensor) -> Tensor:
    values = torch.zeros(mask.shape, dtype=times.dtype)
    return IrregularBatch(times[None], values[None], mask[None], torch.tensor([len(times)])).deltas()[0]


def _since_last_restart(times: Tensor, mask: Tensor) -> Tensor:
    """δ[t] = s[t] - s[t-1], plus δ[t-1] where m[t], instead of m[t-1], is False."""
    before = torch.cat([times[:1], times[:-1]])
    restart = torch.where(mask, before[:, None], times[0]).cummax(0).values
    return times[:, None] - restart


def _visit_times(steps: int, generator: Generator) -> Tensor:
    return (0.25 + torch.empty(steps).exponential_(generator=generator)).cumsum(0)
