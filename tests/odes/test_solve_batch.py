"""Samples of a batch do not touch each other, unless asked to step together."""

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, ORDER, ForcedPendulum, double, driven_gene, lotka_volterra, times

from helpers.odes import solve
from helpers.systems import ToggleSwitch

ROUND_OFF = {"rtol": 1e-12, "atol": 1e-12}


def close(actual, expected):
    torch.testing.assert_close(actual, expected, **ROUND_OFF)


def counts(solution, samples=slice(None)):
    """Accepted, rejected and evaluations of some samples, as plain numbers."""
    stats = solution.stats
    return [count[samples].tolist() for count in (stats.accepted, stats.rejected, stats.evaluations)]


def random_switches(samples, seed=0):
    """Toggle switches, each with its own α, and their starts."""
    generator = torch.Generator().manual_seed(seed)
    alpha = 0.5 + 9 * torch.rand(samples, dtype=torch.float64, generator=generator)
    return alpha, 4 * torch.rand(samples, 2, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("method", FIXED + ADAPTIVE)
def test_alone_or_among_a_thousand_others(method):
    alpha, y0 = random_switches(1001)
    t = times(0.0, 6.0, 7)
    how = {} if method in FIXED else {"rtol": 1e-4, "atol": 1e-4}
    crowd = solve(ToggleSwitch(alpha), y0, t, method=method, **how)
    for k in (0, 517, 1000):
        one = slice(k, k + 1)
        alone = solve(ToggleSwitch(alpha[one]), y0[one], t, method=method, **how)
        close(crowd.y[one], alone.y)
        assert counts(crowd, one) == counts(alone)
        within = double(0.3, 3.3, 5.9)
        close(crowd.interpolant(within)[one], alone.interpolant(within))


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_order_of_the_samples_does_not_matter(method):
    alpha, y0 = random_switches(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    t = times(0.0, 6.0, 7)
    ordered = solve(ToggleSwitch(alpha), y0, t, method=method)
    permuted = solve(ToggleSwitch(alpha[order]), y0[order], t, method=method)
    close(permuted.y, ordered.y[order])
    assert counts(permuted) == counts(ordered, order)


@pytest.mark.parametrize("method", ["rk4", "heun", "dopri5", "dopri8"])
def test_each_sample_has_its_own_times(method):
    """A batch whose times differ is each sample solved at its own times."""
    t = double([0.0, 0.5, 2.0, 6.0], [-3.0, -1.0, -0.9, 0.1], [1.0, 4.0, 10.0, 20.0])
    y0 = double([1.5, 1.0], [3.0, 0.5], [0.4, 2.0])
    how = {"step": 0.1} if method == "rk4" else {"rtol": 1e-4, "atol": 1e-4}
    together = solve(lotka_volterra, y0, t, method=method, **how)
    assert together.t.equal(t)
    for k in range(3):
        alone = solve(lotka_volterra, y0[k : k + 1], t[k], method=method, **how)
        close(together.y[k : k + 1], alone.y)
        assert counts(together, slice(k, k + 1)) == counts(alone)


@pytest.mark.parametrize("field", [driven_gene, lotka_volterra])
def test_some_forwards_and_some_backwards_in_time(field):
    y0 = double([0.7, 1.1], [0.9, 0.6])
    t = double([0.0, 0.5, 1.0], [2.0, 1.5, 0.5])
    together = solve(field, y0, t, rtol=1e-8, atol=1e-8)
    for k in range(2):
        close(together.y[k : k + 1], solve(field, y0[k : k + 1], t[k], rtol=1e-8, atol=1e-8).y)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_hard_sample_costs_the_others_nothing(method):
    """y' = -k y with k = 1 and, in the last sample, k = 300."""
    rate = double([1.0], [0.7], [300.0])
    y0, t = torch.ones_like(rate), times(0.0, 2.0, 5)
    how = {"method": method, "rtol": 1e-3, "atol": 1e-5}
    mixed = solve(lambda t, y: -rate * y, y0, t, **how)
    easy = solve(lambda t, y: -rate[:2] * y, y0[:2], t, **how)
    close(mixed.y[:2], easy.y)
    assert counts(mixed, slice(2)) == counts(easy)
    assert (mixed.stats.accepted[2] + mixed.stats.rejected[2]) > 5 * mixed.stats.accepted[:2].max()


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
@pytest.mark.parametrize("shape", [(1,), (6,), (3, 2), (1, 2, 3)], ids=str)
def test_any_trailing_shape(method, shape):
    """The shape of a state is only how its numbers are laid out."""
    entries = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(2)
    y0 = torch.rand(4, entries, dtype=torch.float64, generator=generator)

    def field(t, y):
        return torch.cos(t).reshape(-1, *(1,) * (y.ndim - 1)) * y - y**3

    def flat(t, y):
        assert y.shape == (4, entries)
        return field(t, y)

    def shaped(t, y):
        assert y.shape == (4, *shape) and t.shape == (4,)
        return field(t, y)

    t = times(0.0, 3.0, 4)
    expected = solve(flat, y0, t, method=method)
    actual = solve(shaped, y0.reshape(4, *shape), t, method=method)
    assert actual.y.shape == (4, 4, *shape)
    close(actual.y, expected.y.reshape(4, 4, *shape))
    assert counts(actual) == counts(expected)
    within = double(0.1, 2.2, 0.7)
    close(actual.interpolant(within), expected.interpolant(within).reshape(4, 3, *shape))


@pytest.mark.parametrize("method", ADAPTIVE)
def test_one_step_for_all(method):
    pendulum = ForcedPendulum(stiffness=2.0)
    t = times(0.0, 3.0, 31)
    tolerance = 1e-4 if ORDER[method] == 2 else 1e-6
    how = {"rtol": tolerance, "atol": tolerance, "per_sample": False}
    joint = solve(pendulum, pendulum.state(0.0), t, method=method, **how)
    torch.testing.assert_close(joint.y, pendulum.solution(t), rtol=0, atol=100 * tolerance)
    for count in counts(joint):
        assert len(set(count)) == 1


def test_one_step_for_all_of_one_is_its_own_step():
    alpha, y0 = random_switches(1)
    t = times(0.0, 6.0, 7)
    own = solve(ToggleSwitch(alpha), y0, t)
    joint = solve(ToggleSwitch(alpha), y0, t, per_sample=False)
    close(joint.y, own.y)
    assert counts(joint) == counts(own)


def test_one_step_for_all_uses_the_norm_over_the_whole_batch():
    """One hard sample among many makes all of them step finely."""
    rate = torch.ones(20, 1, dtype=torch.float64)
    rate[7] = 300.0
    y0, t = torch.ones_like(rate), double(0.0, 2.0)
    own = solve(lambda t, y: -rate * y, y0, t, rtol=1e-5, atol=1e-7)
    joint = solve(lambda t, y: -rate * y, y0, t, rtol=1e-5, atol=1e-7, per_sample=False)
    assert (joint.stats.accepted > 5 * own.stats.accepted[0]).all()
    torch.testing.assert_close(joint.y, own.y, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
def test_one_step_for_all_with_times_of_each_sample(method):
    pendulum = ForcedPendulum(stiffness=1.0, samples=2)
    t = double([0.0, 0.5, 2.0], [0.0, 1.0, 3.0])
    joint = solve(pendulum, pendulum.state(0.0), t, method=method, rtol=1e-6, atol=1e-6, per_sample=False)
    torch.testing.assert_close(joint.y, pendulum.solution(t), rtol=0, atol=1e-4)
