"""Series of different lengths, times that repeat, one state, tolerances of each entry, fields that write."""

import copy
import math

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, double, driven_gene, lotka_volterra, times

from helpers.odes import SolveError, Status, solve
from helpers.series import collate, one_series
from helpers.systems import LotkaVolterra, MassAction


def series(*t):
    return one_series(double(*t), torch.zeros(len(t), 1, dtype=torch.float64))


BATCH = collate([series(0.0, 0.5, 2.0, 3.0), series(-1.0, 4.0), series(2.5), series(1.0, 1.25, 6.0)])
STARTS = double([1.5, 1.0], [3.0, 0.5], [0.4, 2.0], [1.0, 1.1])
STEPS = {name: {"step": 0.05} for name in FIXED} | {name: {"rtol": 1e-4, "atol": 1e-6} for name in ADAPTIVE}


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
@pytest.mark.parametrize("way", ["a repeated last time", "lengths", "lengths and NaN"])
def test_ragged_series_are_each_their_own(method, way):
    t = BATCH.times.clone()
    if way == "lengths and NaN":
        t[~BATCH.valid] = torch.nan
    lengths = None if way == "a repeated last time" else BATCH.lengths
    together = solve(lotka_volterra, STARTS, t, lengths=lengths, method=method, **STEPS[method])
    for k, length in enumerate(BATCH.lengths.tolist()):
        own = BATCH.times[k, :length]
        alone = solve(lotka_volterra, STARTS[k : k + 1], own, method=method, **STEPS[method])
        torch.testing.assert_close(together.y[k, :length], alone.y[0], rtol=1e-12, atol=1e-12)
        assert together.y[k, length:].eq(together.y[k, length - 1]).all()
        assert together.stats.accepted[k] == alone.stats.accepted[0]
    assert together.status.eq(Status.OK).all()


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_a_sample_of_one_time_spoils_no_gradient(method):
    """Not even where its field has neither value nor derivative."""
    y0, t = double([2.0], [-1.0], [0.0]).requires_grad_(), double([0.0, 1.0], [3.0, 3.0], [5.0, 5.0])
    y = solve(lambda t, y: y.log() * 0 - y, y0, t, method=method, **STEPS[method]).y
    assert y[1:, :, 0].tolist() == [[-1.0, -1.0], [0.0, 0.0]]
    y.sum().backward()
    torch.testing.assert_close(y0.grad, double([1 + math.exp(-1)], [2.0], [2.0]), rtol=1e-3, atol=0)


def test_an_empty_series_has_nothing_to_do():
    t, lengths = double([0.0, 1.0], [torch.nan, torch.nan]), torch.tensor([2, 0])
    y = solve(lambda t, y: -y, double([1.0], [7.0]), t, lengths=lengths).y[..., 0]
    torch.testing.assert_close(y, double([1.0, math.exp(-1)], [7.0, 7.0]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
@pytest.mark.parametrize("sign", [1, -1], ids=["forwards", "backwards"])
def test_times_may_repeat_anywhere(method, sign):
    t = sign * double(0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 2.0, 2.0)
    once, place = t.unique(return_inverse=True)
    once, place = (once, place) if sign > 0 else (once.flip(0), len(once) - 1 - place)
    y0 = double([0.7, 1.1])
    y = solve(driven_gene, y0, t, method=method, **STEPS[method]).y
    plain = solve(driven_gene, y0, once, method=method, **STEPS[method]).y
    torch.testing.assert_close(y, plain[:, place], rtol=1e-13, atol=0)


@pytest.mark.parametrize("method", ["rk4", "bosh3", "dopri5", "dopri8"])
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_one_state_is_a_batch_of_one_without_its_axis(method, per_sample):
    """As torchdiffeq and SciPy have it: entries of (D,) do not become samples."""
    chain, y0, t = MassAction(["A->B", "B->C"], [10.0, 0.1]), double(1.0, 0.0, 0.0), times(0.0, 10.0, 3)
    how = {"step": 0.02} if method == "rk4" else {"rtol": 1e-7, "atol": 1e-9}
    solution = solve(chain, y0, t, method=method, per_sample=per_sample, **how)
    a = torch.exp(-10 * t)
    b = (torch.exp(-0.1 * t) - a) * 10 / 9.9
    torch.testing.assert_close(solution.y, torch.stack((a, b, 1 - a - b), 1), rtol=0, atol=1e-5)
    batch = solve(chain, y0[None], t, method=method, per_sample=per_sample, **how)
    assert solution.y.equal(batch.y[0]) and solution.status.shape == ()
    assert solution.stats.evaluations.equal(batch.stats.evaluations[0])
    assert solution.interpolant(t[1:]).equal(batch.interpolant(t[1:])[0])


def test_one_state_that_fails():
    with pytest.raises(SolveError, match=r"sample 0 failed at t = ") as caught:
        solve(lambda t, y: y.square(), double(1.0), double(0.0, 0.5, 1.5))
    solution = caught.value.solution
    assert solution.y.shape == (3, 1) and solution.y[2].isnan() and solution.status != Status.OK


def test_one_state_sees_neither_time_nor_state_with_a_batch():
    def field(t, y):
        assert t.shape == () and y.shape == (2,)
        return LotkaVolterra(alpha=1.0, beta=1.0, delta=1.0, gamma=1.0)(t, y)

    y0 = double(1.5, 1.0).requires_grad_()
    one = solve(field, y0, times(0.0, 5.0, 4)).y
    many = solve(LotkaVolterra(alpha=1.0, beta=1.0, delta=1.0, gamma=1.0), y0[None], times(0.0, 5.0, 4)).y[0]
    torch.testing.assert_close(one, many, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(y.square().sum(), y0)[0] for y in (one, many)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=0)
    with pytest.raises(ValueError, match=r"f must return the shape of y, \(2,\): got \(1,\)"):
        solve(lambda t, y: y[:1], y0, times(0.0, 1.0, 2))


@pytest.mark.parametrize("method", ADAPTIVE)
def test_each_entry_has_its_own_tolerance(method):
    """Two decays that know nothing of each other, one a million times smaller than the other."""
    scale = double(1.0, 1e-6)
    t = double(0.0, 3.0)

    def field(t, y):
        return -torch.sin(y / scale) * scale

    def answer(atol):
        return solve(field, scale[None], t, method=method, rtol=1e-12, atol=atol)

    strict = answer(1e-5 * scale)
    exact = 2 * torch.atan(torch.exp(-t[1]) * math.tan(0.5))
    torch.testing.assert_close(strict.y[0, 1] / scale, exact.expand(2), rtol=0, atol=3e-4)
    same = solve(lambda t, y: -torch.sin(y), double([1.0]), t, method=method, rtol=1e-12, atol=1e-5)
    assert strict.stats.accepted.equal(same.stats.accepted)
    one = solve(field, scale, t, method=method, rtol=1e-12, atol=1e-5 * scale)
    assert one.y.equal(strict.y[0])


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_a_field_may_write_into_what_it_gets(method):
    def writing(t, y):
        t /= 24
        y += 0.1
        y *= torch.cos(2 * math.pi * t)[:, None]
        t.zero_()
        return y.neg_()

    def pure(t, y):
        return -(y + 0.1) * torch.cos(2 * math.pi * t / 24)[:, None]

    how = {"step": 0.5} if method in FIXED else {"rtol": 1e-4, "atol": 1e-6}
    y0, t = double([1.0, 0.3]).requires_grad_(), double(6.0, 7.0, 9.0)
    ours, expected = (solve(field, y0, t, method=method, **how).y for field in (writing, pure))
    torch.testing.assert_close(ours, expected, rtol=1e-7, atol=0)
    gradients = [torch.autograd.grad(y.square().sum(), y0)[0] for y in (ours, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "end, count, step", [(5.0, 51, 0.1), (100.0, 1001, 0.1), (700.0, 101, 7 / 3)], ids=str
)
def test_round_off_of_the_times_adds_no_steps(dtype, end, count, step):
    t = torch.linspace(0.0, end, count, dtype=dtype)
    stats = solve(lambda t, y: -y, torch.ones(2, 1), t, method="rk4", step=step).stats
    assert stats.accepted.tolist() == [round(end / step)] * 2


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("first_step", [0.5, 1.0, 2.0, 5.0])
def test_a_given_first_step_meets_no_blind_spot(method, first_step):
    """At hλ = -1 the estimate of bosh3 vanishes, after a rejection fivefold too long as well."""
    rates = double([1.0], [2.0], [5.0], [0.2])
    tolerance = 1e-4 if method == "heun" else 1e-6
    t = double(0.0, 1.0, 5.0)
    y = solve(
        lambda t, y: -rates * y,
        torch.ones_like(rates),
        t,
        method=method,
        rtol=tolerance,
        first_step=first_step,
    ).y[..., 0]
    torch.testing.assert_close(y, torch.exp(-rates * t), rtol=0, atol=20 * tolerance)


def test_copies():
    solution = solve(lotka_volterra, STARTS, times(0.0, 1.0, 3))
    copied = copy.deepcopy(solution)
    assert copied.y.equal(solution.y) and copied.y is not solution.y
    assert copied.interpolant(double(0.5)).equal(solution.interpolant(double(0.5)))
    with pytest.raises(ValueError, match=r"a solution with a graph must not be copied(.|\n)*detach"):
        copy.deepcopy(solve(lotka_volterra, STARTS.clone().requires_grad_(), times(0.0, 1.0, 3)))
