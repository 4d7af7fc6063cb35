"""What holds for any shape and any times: there and back, the start itself, exp(A t)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import (
    ADAPTIVE,
    FIXED,
    HIGH,
    ForcedPendulum,
    double,
    lotka_volterra,
    lotka_volterra_invariant,
    times,
)
from scipy.linalg import expm

from helpers.odes import solve

METHODS = FIXED + ADAPTIVE


def uneven_times(draw, count):
    """Times that increase or decrease by gaps of 0.001 to 0.8."""
    gaps = draw(st.lists(st.floats(1e-3, 0.8), min_size=count, max_size=count))
    direction = draw(st.sampled_from([1.0, -1.0]))
    start = draw(st.floats(-2.0, 2.0))
    return start + direction * (double(*gaps).cumsum(0) - gaps[0])


@st.composite
def linear_problems(draw):
    """A matrix, starts and times of any shape; the times shared or of each sample."""
    samples, size, count = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    trailing = draw(st.sampled_from([(), (1,), (2,), (2, 2)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    matrix = torch.randn(size, size, dtype=torch.float64, generator=generator)
    y0 = torch.randn(samples, *trailing, size, dtype=torch.float64, generator=generator)
    t = uneven_times(draw, count)
    if draw(st.booleans()):
        t = t + torch.rand(samples, 1, dtype=torch.float64, generator=generator)
    return matrix, y0, t


def exact_linear(matrix, y0, t):
    """exp(A (t - t0)) y0, one matrix exponential of SciPy for each sample and time."""
    t = t.expand(len(y0), -1)
    outputs = [
        torch.stack([state @ torch.from_numpy(expm(matrix.numpy() * (now - row[0]).item())).T for now in row])
        for state, row in zip(y0, t, strict=True)
    ]
    return torch.stack(outputs)


@settings(deadline=None, max_examples=40)
@given(linear_problems(), st.sampled_from(HIGH))
def test_linear_problems_are_matrix_exponentials(problem, method):
    matrix, y0, t = problem
    solution = solve(lambda t, y: y @ matrix.T, y0, t, method=method, rtol=1e-9, atol=1e-9)
    expected = exact_linear(matrix, y0, t)
    assert solution.y.shape == expected.shape
    scale = expected.abs().max().item()
    torch.testing.assert_close(solution.y, expected, rtol=0, atol=1e-6 * (1 + scale))
    torch.testing.assert_close(solution.interpolant(t), solution.y, rtol=1e-11, atol=1e-11 * (1 + scale))
    assert solution.y[:, 0].equal(y0)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_more_outputs_change_no_answer(data):
    """Adaptive steps go where the field asks them to, not where outputs are wanted."""
    t = uneven_times(data.draw, 6)
    y0 = double([1.5, 1.0], [0.4, 2.0])
    few, many = double(t[0].item(), t[-1].item()), t
    ends = [solve(lotka_volterra, y0, times, rtol=1e-6, atol=1e-6).y[:, -1] for times in (few, many)]
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.floats(-5.0, 5.0), st.floats(0.1, 4.0), st.booleans(), st.sampled_from(HIGH))
def test_there_and_back(start, length, forwards, method):
    pendulum = ForcedPendulum(stiffness=1.0, samples=3)
    end = start + length if forwards else start - length
    y0 = pendulum.state(start)
    there = solve(pendulum, y0, double(start, end), method=method, rtol=1e-9, atol=1e-9).y[:, -1]
    torch.testing.assert_close(there, pendulum.state(end), rtol=0, atol=1e-6)
    back = solve(pendulum, there, double(end, start), method=method, rtol=1e-9, atol=1e-9).y[:, -1]
    torch.testing.assert_close(back, y0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_backwards_is_forwards_in_reversed_time(method):
    """y' = f(t, y) from t to -t is y' = -f(-t, y) the other way, step for step."""
    pendulum = ForcedPendulum(stiffness=1.0)
    t, y0 = times(1.0, -1.0, 7), pendulum.state(1.0)
    how = {} if method in FIXED else {"rtol": 1e-4, "atol": 1e-4}
    backwards = solve(pendulum, y0, t, method=method, **how)
    forwards = solve(lambda t, y: -pendulum(-t, y), y0, -t, method=method, **how)
    torch.testing.assert_close(backwards.y, forwards.y, rtol=1e-13, atol=1e-13)
    assert backwards.stats.accepted.equal(forwards.stats.accepted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
def test_the_first_output_is_the_start_itself(method, dtype, per_sample):
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(5, 3, dtype=dtype, generator=generator)
    t = torch.tensor([0.1, 0.3, 1.7], dtype=dtype)
    solution = solve(lambda t, y: -y, y0, t, method=method, rtol=1e-3, atol=1e-4, per_sample=per_sample)
    assert solution.y.dtype == dtype and solution.y.shape == (5, 3, 3)
    assert solution.y[:, 0].equal(y0) and solution.t.equal(t)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("t", [double(0.7), double([0.7], [0.1])], ids=["shared", "per sample"])
def test_one_time_is_the_start(method, t):
    y0 = double([1.0, 2.0], [3.0, 4.0])
    solution = solve(lotka_volterra, y0, t, method=method)
    assert solution.y.equal(y0.unsqueeze(1)) and solution.interpolant(t).equal(solution.y)
    assert solution.stats.accepted.tolist() == [0, 0] and solution.status.tolist() == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_two_times(method):
    solution = solve(lambda t, y: torch.ones_like(y), double([1.0], [2.0]), double(0.0, 0.5), method=method)
    torch.testing.assert_close(solution.y, double([[1.0], [1.5]], [[2.0], [2.5]]), rtol=1e-14, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_field_of_zero_moves_nothing(method):
    y0 = double([0.1, 0.0], [3.0, -7.0])
    solution = solve(lambda t, y: torch.zeros_like(y), y0, times(0.0, 100.0, 5), method=method)
    assert solution.y.equal(y0.unsqueeze(1).expand(-1, 5, -1))


def test_times_are_a_matter_of_origin():
    """An autonomous field does not know what time it is, also where times are large."""
    y0 = double([1.5, 1.0])
    here = solve(lotka_volterra, y0, double(0.0, 1.0, 3.0))
    there = solve(lotka_volterra, y0, double(0.0, 1.0, 3.0) + 4096.0)
    torch.testing.assert_close(there.y, here.y, rtol=1e-9, atol=1e-9)


def test_lotka_and_volterras_invariant():
    y0 = double([1.5, 1.0], [0.4, 2.0])
    y = solve(lotka_volterra, y0, times(0.0, 50.0, 101), method="dopri8", rtol=1e-10, atol=1e-10).y
    kept = lotka_volterra_invariant(y)
    torch.testing.assert_close(kept, kept[:, :1].expand_as(kept), rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_left_alone(method):
    y0, t = double([1.5, 1.0]), times(0.0, 2.0, 5)
    before = y0.clone(), t.clone()
    solution = solve(lotka_volterra, y0, t, method=method, rtol=1e-3)
    solution.y.zero_()
    assert y0.equal(before[0]) and t.equal(before[1])


@pytest.mark.parametrize("method", METHODS)
def test_the_field_is_asked_with_a_time_for_each_sample(method):
    seen = []

    def field(t, y):
        seen.append(t)
        return -y

    solve(field, torch.ones(4, 2, dtype=torch.float32), torch.tensor([0.0, 2.0]), method=method, rtol=1e-3)
    assert all(t.shape == (4,) and t.dtype == torch.float32 for t in seen)
    inside = torch.stack(seen)
    assert inside.min() >= 0.0 and inside.max() <= 2.0


@pytest.mark.parametrize("method", ["rk4", *HIGH])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_decay_does_not_know_its_units(method, scale):
    """Neither small nor large states leave the range of numbers on the way to their norm."""
    y0 = double([1.0, -0.5], [0.3, 2.0])
    how = {"method": method, "rtol": 1e-6}
    plain = solve(lambda t, y: -y, y0, times(0.0, 1.0, 3), atol=1e-7, **how)
    scaled = solve(lambda t, y: -y, scale * y0, times(0.0, 1.0, 3), atol=1e-7 * scale, **how)
    torch.testing.assert_close(scaled.y / scale, plain.y, rtol=1e-12, atol=0)
    assert scaled.stats.accepted.equal(plain.stats.accepted)


@pytest.mark.parametrize("method", ["rk4", *HIGH])
@pytest.mark.parametrize("span", [1e-300, 1e-15, 1e-3])
def test_short_spans(method, span):
    y = solve(lambda t, y: -y, double([1.0]), double(0.0, span), method=method).y
    assert y[0, -1].item() == pytest.approx(1 - span, abs=span**2 + 3e-16)
    after_one = solve(lambda t, y: -y, double([1.0]), double(1.0, 1.0 + 1e-15), method=method)
    assert after_one.y[0, -1].item() == pytest.approx(1 - 1e-15, abs=3e-16)


@pytest.mark.parametrize("method", HIGH)
def test_long_after_the_origin(method):
    """At t = 10⁹ the clock ticks in steps of 10⁻⁷; in float32 at 10⁶ in steps of 0.06."""
    late = solve(lambda t, y: -y, double([1.0]), double(0.0, 1.0) + 1e9, method=method)
    assert late.y[0, -1].item() == pytest.approx(torch.tensor(-1.0).exp().item(), rel=1e-6)
    y0, t = torch.ones(1, 1), torch.tensor([0.0, 1.0]) + 1e6
    single = solve(lambda t, y: -y, y0, t, method=method, rtol=1e-4, atol=1e-6)
    assert single.y[0, -1].item() == pytest.approx(torch.tensor(-1.0).exp().item(), rel=1e-3)


@pytest.mark.parametrize("method", ["bosh3", *HIGH])
def test_a_field_that_jumps(method):
    """y' = 0 up to t = 1 and 1 from then on: steps shrink to find the jump."""
    t = double(0.0, 0.9, 1.5, 2.0)
    solution = solve(lambda t, y: (t > 1).to(y.dtype).reshape(-1, 1), double([0.0]), t, method=method)
    torch.testing.assert_close(solution.y[0, :, 0], double(0.0, 0.0, 0.5, 1.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_times_may_be_of_another_precision(method):
    """Times are kept in float64 and handed to the field in the precision of the states."""
    y0, t = double([1.5, 1.0]), torch.tensor([0.0, 0.5, 2.0])
    assert solve(lotka_volterra, y0, t, method=method).y.equal(
        solve(lotka_volterra, y0, t.double(), method=method).y
    )
    single = solve(lotka_volterra, y0.float(), t.double(), method=method, rtol=1e-4, atol=1e-5)
    assert single.y.dtype == torch.float32


@pytest.mark.parametrize("method", ["rk4", "dopri5", "dopri8"])
def test_any_layout_in_memory(method):
    """Views of a start and of times, also such that repeat one number, answer as their copies do."""
    y0, t = double([1.5, 9.0, 1.0, 9.0])[:, ::2].expand(3, 2), times(0.0, 2.0, 9)[::4]
    of_views = solve(lotka_volterra, y0, t, method=method)
    of_copies = solve(lotka_volterra, y0.clone(), t.clone(), method=method)
    torch.testing.assert_close(of_views.y, of_copies.y, rtol=1e-13, atol=1e-13)


def test_a_solution_prints_in_a_few_lines():
    many_steps = solve(lambda t, y: -1000 * y, double([1.0]), double(0.0, 1.0))
    assert many_steps.stats.accepted.item() > 100 and len(repr(many_steps)) < 500


def test_a_field_may_write_into_its_own_memory():
    memory = torch.empty(1, 1, dtype=torch.float64)

    def reusing(t, y):
        return torch.mul(y, -50.0, out=memory).add_(torch.cos(t)[:, None])

    def fresh(t, y):
        return -50.0 * y + torch.cos(t)[:, None]

    for method in ("bosh3", "dopri5", "dopri8"):
        ours, expected = (
            solve(field, double([1.0]), double(0.0, 2.0), method=method, first_step=1.0)
            for field in (reusing, fresh)
        )
        assert ours.stats.accepted.equal(expected.stats.accepted)
        torch.testing.assert_close(ours.y, expected.y, rtol=1e-12, atol=0)


def test_a_solution_is_its_own_when_its_arguments_change():
    y0, t = double([1.0]), double(0.0, 1.0)
    solution = solve(lambda t, y: -y, y0, t)
    y0.fill_(5.0), t.add_(10.0)
    at_half = solution.interpolant(double(0.0, 0.5))
    torch.testing.assert_close(at_half[0, :, 0], double(1.0, math.exp(-0.5)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("rate", [1e4, 1e9])
def test_the_first_step_is_as_exact_as_the_others(method, rate):
    """At hλ = -1 the error estimate of bosh3 is 0: the first step must not go there."""
    t = double(0.0, 1.0, 3.0) / rate
    solution = solve(lambda t, y: -rate * y, double([1.0]), t, method=method, rtol=1e-6)
    torch.testing.assert_close(solution.y[0, :, 0], torch.exp(-rate * t), rtol=1e-4, atol=0)
