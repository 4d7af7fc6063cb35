"""Jumps of a field: steps end there and see it from their own side. And the longest step."""

import math

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, ORDER, double, times

from helpers.fields import ControlledField, ZeroOrderHold
from helpers.odes import solve

DOSES = double(1.0, 1.5, 4.0, 4.25)
RATES = double(0.0, 8.0, 0.0, 4.0, 0.0)
ELIMINATION = 0.5


def infusion(t, y):
    """y' = u(t) - k y, u on from 1 to 1.5 and from 4 to 4.25."""
    return RATES[torch.searchsorted(DOSES.to(t.dtype), t, right=True)].to(y.dtype)[:, None] - ELIMINATION * y


def amounts(t, y0=1.0):
    """The closed form: from piece to piece y → u/k + (y - u/k) exp(-k Δt), at times (T,) in order, from 0."""
    answers = []
    for end in t.tolist():
        y, now = y0, 0.0
        for rate, stop in zip(RATES.tolist(), [*DOSES.tolist(), math.inf], strict=True):
            length = min(stop, end) - now
            if length > 0:
                y = rate / ELIMINATION + (y - rate / ELIMINATION) * math.exp(-ELIMINATION * length)
                now += length
        answers.append(y)
    return double(*answers)


T = times(0.0, 20.0, 11)
HOW = {name: {"rtol": 1e-4 if ORDER[name] == 2 else 1e-8, "atol": 1e-10} for name in ADAPTIVE}
HOW |= {name: {"step": 0.005 if ORDER[name] == 1 else 0.02} for name in FIXED}
CLOSE = {1: 2e-2, 2: 2e-3}


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_doses_are_not_stepped_over(method):
    y = solve(infusion, double([1.0]), T, method=method, breaks=DOSES, **HOW[method]).y[0, :, 0]
    torch.testing.assert_close(y, amounts(T), rtol=0, atol=CLOSE.get(ORDER[method], 1e-7))


@pytest.mark.parametrize("method", ["rk4", "bosh3", "dopri5", "dopri8"])
def test_backwards(method):
    """From the end to the start, and as exactly: a step that ends at a break sees the later side of it."""
    t, end = double(5.0, 4.1, 2.0, 0.0), double([amounts(double(5.0)).item()])
    y = solve(infusion, end, t, method=method, breaks=DOSES, **HOW[method]).y[0, :, 0]
    torch.testing.assert_close(y, amounts(t), rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_the_field_is_seen_from_the_steps_own_side(method):
    """No stage lies on a break or mixes its two sides, so that a jump costs no accuracy and no rejection."""
    asked = []

    def field(t, y):
        asked.extend(t.tolist())
        return torch.where(t < 2.0, 1.0, -3.0).to(y.dtype)[:, None].expand_as(y)

    solution = solve(field, double([0.5]), double(0.0, 2.0, 5.0), method=method, breaks=double(2.0, 7.0))
    torch.testing.assert_close(solution.y[0, :, 0], double(0.5, 2.5, -6.5), rtol=1e-14, atol=0)
    assert solution.stats.rejected.item() == 0 and 2.0 not in asked


def test_each_sample_has_its_own_breaks():
    onset = double(1.0, 2.0, 30.0)

    def field(t, y):
        return ((t >= onset) & (t < onset + 0.01)).to(y.dtype)[:, None].expand_as(y) * 100

    y0, t = torch.zeros(3, 1, dtype=torch.float64), double(0.0, 40.0)
    breaks = torch.stack((onset, onset + 0.01), 1)
    y = solve(field, y0, t, breaks=breaks).y[:, 1, 0]
    torch.testing.assert_close(y, torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)


def test_single_precision_breaks_of_a_double_precision_state():
    """The field casts its time to the breaks' dtype: a unit of double precision would not do."""
    onset = torch.tensor([0.1, 0.3])

    def field(t, y):
        return ((t.float() >= onset[0]) & (t.float() < onset[1])).to(y.dtype)[:, None].expand_as(y)

    y = solve(field, double([0.0]), double(0.0, 1.0), breaks=onset).y[0, 1, 0]
    assert y.item() == pytest.approx((onset[1] - onset[0]).item(), rel=1e-6)


def test_a_field_hands_over_its_own_breaks():
    """As an attribute; the argument adds others."""

    class Doses:
        def __init__(self, breaks):
            self.breaks = breaks

        def __call__(self, t, y):
            return infusion(t, y)

    expected = amounts(T)
    for known, given in ((DOSES, None), (DOSES[:2], DOSES[2:]), (None, DOSES)):
        y = solve(Doses(known), double([1.0]), T, rtol=1e-8, breaks=given).y[0, :, 0]
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-7)
    one = solve(
        lambda t, y: infusion(t[None], y[None])[0], double(1.0).reshape(1), T, breaks=DOSES, rtol=1e-8
    )
    torch.testing.assert_close(one.y[:, 0], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_gradient_through_doses(method):
    """By the start e^(-k t), by the rate of the first dose in closed form; the interpolant, too."""
    y0, rates = double([1.0]).requires_grad_(), RATES.clone().requires_grad_()

    def field(t, y):
        return rates[torch.searchsorted(DOSES, t, right=True)][:, None] - ELIMINATION * y

    solution = solve(field, y0, double(0.0, 6.0), method=method, breaks=DOSES, **HOW[method])
    by_y0, by_rates = torch.autograd.grad(solution.y[0, 1, 0], (y0, rates), retain_graph=True)
    decay = [math.exp(-ELIMINATION * (6 - end)) for end in (1.0, 1.5)]
    assert by_y0.item() == pytest.approx(math.exp(-3), abs=1e-7)
    assert by_rates[1].item() == pytest.approx((decay[1] - decay[0]) / ELIMINATION, abs=1e-7)
    between = double(0.5, 1.2, 1.5, 4.1)
    torch.testing.assert_close(solution.interpolant(between)[0, :, 0], amounts(between), rtol=0, atol=1e-5)


def test_evaluations_are_counted():
    calls = []

    def field(t, y):
        calls.append(1)
        return infusion(t, y)

    for method in ("dopri5", "rk4", "bosh3"):
        calls.clear()
        stats = solve(field, double([1.0]), T[[0, -1]], method=method, breaks=DOSES).stats
        assert stats.evaluations.item() == len(calls)


def test_without_breaks_among_the_times_nothing_changes():
    plain = solve(infusion, double([1.0]), double(5.0, 9.0))
    named = solve(infusion, double([1.0]), double(5.0, 9.0), breaks=DOSES)
    torch.testing.assert_close(named.y, plain.y, rtol=1e-12, atol=0)
    assert named.stats.accepted.equal(plain.stats.accepted)


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
def test_the_longest_step(method):
    t = double(0.0, 20.0)
    solution = solve(infusion, double([1.0]), t, method=method, max_step=0.2, rtol=1e-6)
    assert solution.y[0, 1, 0].item() == pytest.approx(amounts(t)[1].item(), abs=1e-4)
    for span in (double(0.0, 3.0), double(3.0, 0.0)):
        path = solve(
            lambda t, y: 0 * y, double([1.0]), span, method=method, max_step=0.1
        ).interpolant.dense.path
        assert path.step_sizes().abs().max() <= 0.1 * (1 + 1e-11)
        assert path.accepted().sum() == 35  # from its first step of 1e-6 on, tenfold each


@pytest.mark.parametrize(
    "how, message",
    [
        ({"breaks": [1.0]}, r"breaks must be a floating-point tensor: got list"),
        (
            {"breaks": torch.zeros(3, 2)},
            r"breaks must have shape \(K,\) or \(B, K\) with B = 1 and K ≥ 0: got",
        ),
        ({"breaks": double(1.0, torch.nan)}, r"breaks must be finite: breaks\[1\] = nan"),
        ({"max_step": 0.0}, r"max_step must be positive and finite: got 0\.0"),
        ({"max_step": 0.1, "method": "rk4"}, r"max_step is for the adaptive methods: rk4 takes step"),
        ({"max_step": 1e-30}, r"max_step must be long enough to change t: got 1e-30"),
    ],
    ids=["a list", "of another batch", "NaN", "no length", "fixed steps", "rounds away"],
)
def test_errors(how, message):
    with pytest.raises(ValueError, match=message):
        solve(infusion, double([1.0]), double(1.0, 2.0), **how)


def test_a_controlled_field_as_a_callers_breaks():
    """Its inputs' times, in the argument."""
    u = ZeroOrderHold(torch.cat((double(0.0), DOSES)), RATES[:, None])
    field = ControlledField(lambda t, y, u: u - ELIMINATION * y, u)
    y = solve(field, double([1.0]), T, breaks=u.times, rtol=1e-9).y[0, :, 0]
    torch.testing.assert_close(y, amounts(T), rtol=0, atol=1e-7)
