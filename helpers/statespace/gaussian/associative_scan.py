"""All prefix products of an associative operator at once: what makes a recursion parallel."""

import math
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad

Element = tuple[Tensor, ...]
Combine = Callable[[Element, Element], Element]


def associative_scan(combine: Combine, elements: Element, *, reverse: bool = False) -> Element:
    """Combine each element with all that come before it, or with all that come after it.

    ::

        s_t = a_0 ⊗ a_1 ⊗ … ⊗ a_t,   reverse: s_t = a_t ⊗ … ⊗ a_{T-1}

    Neighbours are combined in pairs; the pairs, half as many, are scanned in the same way; one more
    combination fills in the steps between. That makes 2 log₂ T calls of `combine` for T steps, and fewer
    than 2 T combinations in all.

    Parameters
    ----------
    combine : function
        `combine(earlier, later)`, associative but not necessarily commutative. It receives many elements at
        once, along axis 0, possibly none, and keeps their shapes. Earlier means earlier in time, whichever
        way the scan runs.
    elements : tuple of Tensor, each (T, ...)
        The parts of the elements.
    reverse : bool
        Whether to combine with what comes after.

    Returns
    -------
    tuple of Tensor, each (T, ...)

    Raises
    ------
    ValueError
        If the parts differ in their number of steps, or there are none.

    Source: Blelloch (1990), Prefix sums and their applications, Carnegie Mellon University CMU-CS-90-190.
    """
    _check_steps(elements)
    return _in_direction(_prefixes, combine, elements, reverse)


def blocked_scan(combine: Combine, elements: Element, *, reverse: bool = False) -> Element:
    """What `associative_scan` returns, by 2 √T calls of `combine`.

    The series is cut into √T blocks. All blocks are scanned step by step, side by side; then their totals,
    one after the other; then each block receives the total of those before it. That takes more calls than the
    2 log₂ T of `associative_scan`, but moves less memory, and is the faster of the two on a CPU.

    Arguments and result are those of `associative_scan`; the parts may be padded with elements that are 0,
    and the results of those are dropped.
    """
    _check_steps(elements)
    return _in_direction(_prefixes_by_block, combine, elements, reverse)


def _in_direction(scan: Callable, combine: Combine, elements: Element, reverse: bool) -> Element:
    if not reverse:
        return scan(combine, elements)
    backwards = tuple(part.flip(0) for part in elements)
    suffixes = scan(lambda later, earlier: combine(earlier, later), backwards)
    return tuple(part.flip(0) for part in suffixes)


def _prefixes_by_block(combine: Combine, elements: Element) -> Element:
    steps = elements[0].shape[0]
    length = math.isqrt(steps - 1) + 1
    blocks = math.ceil(steps / length)
    parts = tuple(_cut(part, blocks, length) for part in elements)  # (blocks, length, ...)
    within = accumulate([tuple(part[:, i] for part in parts) for i in range(length)], combine)
    inside = tuple(torch.stack(part, 1) for part in zip(*within, strict=True))
    ends = [tuple(part[block, -1:] for part in inside) for block in range(blocks - 1)]
    totals = tuple(torch.stack(part) for part in zip(*accumulate(ends, combine), strict=True))
    return _after_totals(combine, totals, inside, steps)


def _after_totals(combine: Combine, totals: Element, inside: Element, steps: int) -> Element:
    """Give each block but the first the total of those before it, and join the blocks."""
    later = combine(totals, tuple(part[1:] for part in inside)) if totals else inside
    joined = (
        torch.cat([part[:1], after]) if totals else part for part, after in zip(inside, later, strict=True)
    )
    return tuple(part.flatten(0, 1)[:steps] for part in joined)


def _cut(part: Tensor, blocks: int, length: int) -> Tensor:
    padding = [0, 0] * (part.ndim - 1) + [0, blocks * length - part.shape[0]]
    return pad(part, padding).unflatten(0, (blocks, length))


def _prefixes(combine: Combine, elements: Element) -> Element:
    steps = elements[0].shape[0]
    if steps == 1:
        return elements
    pairs = combine(_every_other(elements, 0, steps - 1), _every_other(elements, 1, steps))
    odd = _prefixes(combine, pairs)  # prefixes that end at steps 1, 3, 5, …
    even = combine(_until(odd, (steps - 1) // 2), _every_other(elements, 2, steps))  # … at steps 2, 4, 6, …
    return tuple(
        _interleave(torch.cat([part[:1], at_even]), at_odd)
        for part, at_even, at_odd in zip(elements, even, odd, strict=True)
    )


def _every_other(elements: Element, start: int, stop: int) -> Element:
    return tuple(part[start:stop:2] for part in elements)


def _until(elements: Element, stop: int) -> Element:
    return tuple(part[:stop] for part in elements)


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    """Put the members of `odd` between those of `even`, of which there may be one more."""
    pairs = odd.shape[0]
    together = torch.stack([even[:pairs], odd], 1).flatten(0, 1)
    return torch.cat([together, even[pairs:]])


def _check_steps(elements: Element) -> None:
    steps = [part.shape[0] if part.ndim else 0 for part in elements]
    if not steps or min(steps) == 0 or len(set(steps)) > 1:
        shapes = [tuple(part.shape) for part in elements]
        raise ValueError(f"elements must all have shape (T, ...) with the same T ≥ 1: got shapes {shapes}")
