"""Recursions over time that forget: they may come to stand still, and may be cut into blocks side by side."""

from collections.abc import Callable

import torch
from torch import Tensor

Parts = tuple[Tensor, ...]
Advance = Callable[[int, Parts], Parts]

STEPS_BETWEEN_CHECKS = 8  # whether a recursion stands still: each check is a poll
SHORTEST_BLOCK = 16  # steps: a recursion that forgets slower than that takes several passes
LONGEST_MEMORY = 192  # steps, after which blocks that have not forgotten where they started are given up
RAREST_CHANGE = 64  # steps from one change of the map to the next, beyond which it may stand still between
LARGEST_STEP = 16384  # numbers in the first part of a step, beyond which arithmetic costs more than calls


def recurse(
    first: Parts,
    steps: Callable[..., Advance],
    maps: tuple[Tensor, ...],
    changed: Tensor,
    differentiable: bool,
    kept: slice = slice(None),
    reverse: bool = False,
    settled: Callable[[Parts, Parts], bool] | None = None,
) -> Parts:
    """All steps of a recursion, stacked, for G sets of matrices side by side (see `arrays`).

    Where its map stays the same, a recursion that stands still is not computed on: one of which a step moved
    no entry of the first part, a covariance P, by more than four units in the last place of √(P_ii P_jj).
    What is left to its limit is of that order too, divided by how much of the way a step covers.

    Where the map keeps changing, time is cut into blocks which are run side by side, in fewer and larger
    operations. Each must start within 16 such units of where the one before it ends: runs that have forgotten
    different starts still differ by the rounding of every step.

    Parameters
    ----------
    first : tuple of Tensor, each (..., G)
        Step 0: a covariance (H, H, G), and what else is kept of each step; in the filter first the covariance
        before the reading.
    steps : function (*maps) -> advance
        And `advance(step, before)` makes the parts of a step from those of the step before.
    maps : tuple of Tensor, each (T, ..., G or 1)
        What the map of every step is made of; step 0 is not read.
    changed : Tensor (T - 1,), bool
        Whether each step after the first has another map than the step before.
    differentiable : bool
        Compute every step once, for a gradient through all of them.
    kept : slice
        Which parts of each step are wanted.
    reverse : bool
        Run from the last step, which `first` then is, to the first.
    settled : function (parts, before) -> bool, optional
        Whether blocks start where those before them ended; by default the first part decides.

    Returns
    -------
    tuple of Tensor, each (T, ..., G)
    """
    order = torch.arange(len(maps[0]), device=first[0].device)
    order = order.flip(0) if reverse else order
    blocks = min(len(maps[0]) // SHORTEST_BLOCK, LARGEST_STEP // first[0].numel())
    parts = None
    if not differentiable and blocks > 1 and RAREST_CHANGE * int(changed.sum()) > len(changed):
        parts = _run_blocks(first, steps, maps, order, blocks, kept, settled or _has_settled)
    if parts is None:
        changed = torch.ones_like(changed) if differentiable else changed.flip(0) if reverse else changed
        ordered = tuple(part.flip(0) for part in maps) if reverse else maps
        parts = _run(first, steps(*ordered), _next_changes(changed), kept)
    return tuple(part.flip(0) for part in parts) if reverse else parts


def per_step(stack: Tensor) -> list[Tensor] | tuple[Tensor, ...]:
    """The T steps of a stack (T, ...); of what never changes, one and the same tensor."""
    return [stack[0]] * len(stack) if stack.stride(0) == 0 else stack.unbind(0)


def _run(first: Parts, advance: Advance, next_change: list[int], kept: slice) -> Parts:
    """Step by step, but for steps at which the recursion would stand still."""
    parts, history, current = first, [first[kept]], [0]  # what was computed, and which of it each step has
    while (step := len(current)) < len(next_change):
        before, parts = parts, advance(step, parts)
        history.append(parts[kept])
        current.append(len(history) - 1)
        is_due = step % STEPS_BETWEEN_CHECKS == 0 and next_change[step] > step + 1
        if is_due and stands_still(parts, before[0]):
            current.extend(current[-1:] * (next_change[step] - step - 1))
    stacks = tuple(torch.stack(part) for part in zip(*history, strict=True))
    if len(history) == len(current):
        return stacks
    chosen = torch.tensor(current, device=first[0].device)
    return tuple(stack[chosen] for stack in stacks)


def _run_blocks(
    first: Parts,
    steps: Callable[..., Advance],
    maps: tuple[Tensor, ...],
    order: Tensor,
    blocks: int,
    kept: slice,
    settled: Callable[[Parts, Parts], bool],
) -> Parts | None:
    """K blocks of time at once, again and again, until each starts where the one before it ended.

    At first a start is a guess. But a recursion that forgets ends in the right place from anywhere, after
    one pass or a few. One that does not forget in time is given up: None.
    """
    groups, total = first[0].shape[-1], len(order)
    length = -(-total // blocks)
    advance = steps(*(_cut(part, order, groups, blocks, length) for part in maps))
    starts = parts = tuple(torch.cat([part] * blocks, -1) for part in first)
    for step in range(1, length + 1):
        parts = advance(step, parts)
    for _ in range(max(2, LONGEST_MEMORY // length)):
        starts = _following(first, parts)
        parts, history = starts, []
        for step in range(1, length + 1):
            history.append(parts[kept])
            parts = advance(step, parts)
        if settled(_following(first, parts), starts):
            return tuple(_join(part, blocks)[:total] for part in zip(*history, strict=True))
    return None


def _has_settled(parts: Parts, before: Parts) -> bool:
    return stands_still(parts, before[0], units=16)


def _following(first: Parts, ends: Parts) -> Parts:
    """Where blocks start, from where they end: the first step, and then the end of the block before."""
    groups = first[0].shape[-1]
    return tuple(torch.cat([head, end[..., :-groups]], -1) for head, end in zip(first, ends, strict=True))


def _cut(stack: Tensor, order: Tensor, groups: int, blocks: int, length: int) -> Tensor:
    """K blocks of (T, ..., G or 1), each with the first step of the next: (L + 1, ..., K G), with T repeated.

    What never changes, and all groups share, they go on sharing: (L + 1, ..., 1).
    """
    if stack.stride(0) == 0 and stack.shape[-1] == 1:
        return stack[:1].expand(length + 1, *stack.shape[1:])
    step = torch.arange(length + 1, device=stack.device).unsqueeze(-1)
    start = length * torch.arange(blocks, device=stack.device)
    blocked = stack[order[(start + step).clamp(max=len(stack) - 1)]]  # (L + 1, K, ..., G or 1)
    return blocked.expand(*blocked.shape[:-1], groups).movedim(1, -2).flatten(-2)


def _join(steps: tuple[Tensor, ...], blocks: int) -> Tensor:
    """Blocks side by side, L steps of shape (..., K G), one after the other: (K L, ..., G)."""
    return torch.stack([step.unflatten(-1, (blocks, -1)).movedim(-2, 0) for step in steps], 1).flatten(0, 1)


def _next_changes(changed: Tensor) -> list[int]:
    """For each of T steps the next one that differs from its predecessor, or T, from (T - 1,) flags."""
    steps = len(changed) + 1
    changes = torch.where(changed, torch.arange(1, steps, device=changed.device), steps)
    upcoming = changes.flip(0).cummin(0).values.flip(0)
    return [*upcoming.tolist(), steps]


def stands_still(parts: Parts, previous: Tensor, units: int = 4) -> bool:
    """Whether no entry (i, j) moved by more than so many units in the last place of √(P_ii P_jj).

    Where a second part, the covariance before a reading, shows that the reading told a state to the last
    digit, what is left of its variance is rounding, and the variance before counts.
    """
    matrix, eps = parts[0], torch.finfo(parts[0].dtype).eps
    variance = matrix.diagonal(dim1=0, dim2=1).abs()  # (G, H)
    if len(parts) > 1:
        before = parts[1].diagonal(dim1=0, dim2=1)
        variance = torch.where(variance < 16 * eps * before, before, variance)
    deviation = variance.sqrt().T
    slack = units * eps * deviation.unsqueeze(0) * deviation.unsqueeze(1)
    return bool(((matrix - previous).abs() <= slack).all())
