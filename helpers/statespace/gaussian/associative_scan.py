"""All prefix products of an associative operator at once: what makes a recursion parallel."""

from collections.abc import Callable

import torch
from torch import Tensor

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
    if not reverse:
        return _prefixes(combine, elements)
    backwards = tuple(part.flip(0) for part in elements)
    suffixes = _prefixes(lambda later, earlier: combine(earlier, later), backwards)
    return tuple(part.flip(0) for part in suffixes)


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
