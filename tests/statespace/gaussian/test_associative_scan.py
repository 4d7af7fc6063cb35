"""associative_scan against the plain loop."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.statespace.gaussian.associative_scan import associative_scan

SCANS = [associative_scan]


def affine(earlier, later):
    """First the earlier map x ↦ F x + c, then the later one: it does not commute."""
    (first_factor, first_shift), (factor, shift) = earlier, later
    return factor @ first_factor, (factor @ first_shift.unsqueeze(-1)).squeeze(-1) + shift


def affine_elements(steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(steps, 2, 3, 3, generator=generator, dtype=torch.float64) / 2
    return factor, torch.randn(steps, 2, 3, generator=generator, dtype=torch.float64)


def accumulated(combine, elements, reverse):
    """One step after the other."""
    steps = [tuple(part[t] for part in elements) for t in range(len(elements[0]))]
    if reverse:
        totals = list(accumulate(reversed(steps), lambda later, earlier: combine(earlier, later)))[::-1]
    else:
        totals = accumulate(steps, combine)
    return tuple(torch.stack(parts) for parts in zip(*totals, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SCANS), st.integers(1, 70), st.booleans(), st.integers(0, 5))
def test_equals_the_loop_for_any_length_in_both_directions(scan, steps, reverse, seed):
    elements = affine_elements(steps, seed)
    scanned = scan(affine, elements, reverse=reverse)
    for part, expected in zip(scanned, accumulated(affine, elements, reverse), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps, calls", [(2, 2), (1000, 18), (1024, 20), (1025, 20)])
def test_depth_is_logarithmic_and_work_linear(steps, calls):
    sizes = []

    def add(earlier, later):
        sizes.append(len(earlier[0]))
        return (earlier[0] + later[0],)

    (sums,) = associative_scan(add, (torch.ones(steps),))
    assert torch.equal(sums, torch.arange(1.0, steps + 1))
    assert len(sizes) == calls and sum(sizes) < 2 * steps


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_gradients(scan, reverse):
    elements = tuple(part.requires_grad_() for part in affine_elements(5))
    assert torch.autograd.gradcheck(lambda *parts: scan(affine, parts, reverse=reverse), elements)


@pytest.mark.parametrize("scan", SCANS)
def test_on_every_device(scan, device):
    elements = affine_elements(9)
    moved = scan(affine, tuple(part.to(device) for part in elements))
    assert all(part.device.type == device.type for part in moved)
    torch.testing.assert_close(moved[1].cpu(), accumulated(affine, elements, reverse=False)[1])


@pytest.mark.parametrize(
    "shapes", [[], [(0, 2)], [()], [(3, 2), (4, 2)]], ids=["no parts", "no steps", "no time", "unequal"]
)
@pytest.mark.parametrize("scan", SCANS)
def test_elements_without_common_steps_are_refused(scan, shapes):
    with pytest.raises(
        ValueError, match=r"elements must all have shape \(T, ...\) with the same T ≥ 1: got shapes \["
    ):
        scan(affine, tuple(torch.zeros(shape) for shape in shapes))
