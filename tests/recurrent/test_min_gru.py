"""affine_scan against its loop and closed forms; the minimal GRU beside it is in test_gated.py."""

import pytest
import torch
from gated_cells import make, normal

from helpers.recurrent import affine_scan, min_gru

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def by_loop(factor, shift, h):
    states = []
    for a, b in zip(factor.unbind(1), shift.unbind(1), strict=True):
        h = a * h + b
        states.append(h)
    return torch.stack(states, 1)


@pytest.mark.parametrize("start", [True, False], ids=["from h0", "from zeros"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 9, 100])
def test_it_solves_what_the_loop_solves(steps, start):
    factor = normal(3, steps, 4).tanh().requires_grad_()
    shift, h0 = normal(3, steps, 4, seed=2).requires_grad_(), normal(3, 4, seed=3).requires_grad_()
    found = affine_scan(factor, shift, h0 if start else None)
    expected = by_loop(factor, shift, h0 if start else torch.zeros_like(h0))
    torch.testing.assert_close(found, expected, **EXACT)
    leaves = [factor, shift] + ([h0] if start else [])
    gradients, right = (torch.autograd.grad(states.square().sum(), leaves) for states in (found, expected))
    torch.testing.assert_close(gradients, right, **EXACT)


def test_sums_and_powers_are_special_cases():
    ones = torch.ones(2, 13, 3, dtype=torch.float64)
    torch.testing.assert_close(affine_scan(ones, normal(2, 13, 3)), normal(2, 13, 3).cumsum(1), **EXACT)
    powers = affine_scan(1.5 * ones, 0 * ones, ones[:, 0])
    torch.testing.assert_close(powers[0, :, 0], 1.5 ** torch.arange(1, 14, dtype=torch.float64), **EXACT)


def test_gradients_of_both_orders():
    arguments = [
        tensor.requires_grad_() for tensor in (normal(2, 5, 2), normal(2, 5, 2, seed=2), normal(2, 2))
    ]
    assert torch.autograd.gradcheck(affine_scan, arguments)
    assert torch.autograd.gradgradcheck(affine_scan, arguments)


def test_the_future_and_other_units_do_not_matter():
    factor, shift = normal(2, 9, 3).tanh(), normal(2, 9, 3, seed=2)
    whole = affine_scan(factor, shift)
    spoilt = shift.clone()
    spoilt[1, 5, 2] = torch.nan
    found = affine_scan(factor, spoilt)
    hit = torch.zeros_like(found).bool()
    hit[1, 5:, 2] = True
    assert found[hit].isnan().all()
    torch.testing.assert_close(found[~hit], whole[~hit], **EXACT)


def test_no_steps_leave_no_states():
    assert affine_scan(torch.ones(2, 0, 3), torch.ones(2, 0, 3), torch.ones(2, 3)).shape == (2, 0, 3)


def test_a_long_series_stays_within_its_candidates():
    """h_t is a mean of the start and of the candidates so far, weighted by the gates."""
    trace = make("minimal GRU")(normal(2, 5000, 3), return_gates=True)
    assert (trace.h.abs() <= trace.n.abs().amax(1, keepdim=True)).all()
    fast = make("minimal GRU")(normal(2, 5000, 3), fast=True)
    torch.testing.assert_close(fast, trace.h, **EXACT)


@pytest.mark.parametrize(("series", "scans"), [(64, True), (65, False)], ids=["few numbers", "many numbers"])
def test_the_scan_is_chosen_where_it_pays(series, scans, monkeypatch):
    calls, combine = [], min_gru.combine_steps
    monkeypatch.setattr(min_gru, "combine_steps", lambda *arguments: calls.append(1) or combine(*arguments))
    model, x = make("minimal GRU"), normal(series, 5, 3)
    model(x)
    assert bool(calls) == scans
    torch.testing.assert_close(model(x, fast=True), model(x, fast=False), **EXACT)


ONES = torch.ones(2, 5, 3)
BAD = {
    "factor of two axes": (
        lambda: affine_scan(ONES[0], ONES[0]),
        r"factor must have shape \(B, T, H\): got \(5, 3\)",
    ),
    "shift of another length": (
        lambda: affine_scan(ONES, ONES[:, 1:]),
        r"shift must have shape \(B, T, H\) = \(2, 5, 3\): got \(2, 4, 3\)",
    ),
    "shift of another dtype": (
        lambda: affine_scan(ONES, ONES.double()),
        "shift must have the dtype of factor: got torch.float64 and torch.float32",
    ),
    "h0 of another batch": (
        lambda: affine_scan(ONES, ONES, torch.ones(1, 3)),
        r"h0 must have shape \(B, H\) = \(2, 3\): got \(1, 3\)",
    ),
    "products beyond the largest float": (
        lambda: affine_scan(1e20 * ONES, 0 * ONES),
        r"factor must have finite products: those of factor\[0, :2, 0\] are not",
    ),
    "a number": (lambda: affine_scan(0.5, ONES), "factor must be a tensor: got float"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
