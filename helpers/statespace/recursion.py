"""A recursion over time that looks, now and then, whether it still moves."""

from collections.abc import Callable

import torch
from torch import Tensor

POLL = 8  # steps between two looks
Moments = tuple[Tensor, ...]


def recurse(first: Moments, advance: Callable[[int, Moments], Moments], next_change: list[int]) -> Moments:
    """All steps of a recursion, stacked; a recursion that stands still is not computed on.

    It stands still when its map stays the same and a step moved no matrix of its first part by more than four
    units in the last place of the matrix's largest entry. What is left to its limit is of that order
    too, divided by how much of the way a step covers.

    Parameters
    ----------
    first : tuple of Tensor
        Step 0.
    advance : callable
        From the number of a step and the step before it to the step.
    next_change : list of int, of length T
        For each step, the next one that has another map; the next step, where each must be computed.
    """
    moments = [first]
    while (step := len(moments)) < len(next_change):
        moments.append(advance(step, moments[-1]))
        if step % POLL == 0 and next_change[step] > step + 1 and _still(moments[-1][0], moments[-2][0]):
            moments.extend(moments[-1:] * (next_change[step] - step - 1))
    return tuple(torch.stack(part) for part in zip(*moments, strict=True))


def next_changes(changed: Tensor) -> list[int]:
    """For each of T steps the next one that differs from its predecessor, or T, from (T - 1,) flags."""
    steps = len(changed) + 1
    changes = torch.where(changed, torch.arange(1, steps, device=changed.device), steps)
    upcoming = changes.flip(0).cummin(0).values.flip(0)
    return [*upcoming.tolist(), steps]


def _still(matrix: Tensor, previous: Tensor) -> bool:
    slack = 4 * torch.finfo(matrix.dtype).eps * matrix.abs().amax((-2, -1), keepdim=True)
    return bool(((matrix - previous).abs() <= slack).all())
