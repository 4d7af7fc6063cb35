"""Gradients through events: closed forms, finite differences, torchdiffeq, every way to differentiate."""

import math

import pytest
import torch
from ode_problems import double, times
from torch.autograd import gradcheck, gradgradcheck
from torchdiffeq import odeint_event

from helpers.odes import Event, solve

TIGHT = {"rtol": 1e-11, "atol": 1e-12}
WAYS = ["direct", "replay", "adjoint", "backsolve"]


def cell(rate, threshold, part):
    """Growth, and division at a threshold: field and event."""
    event = Event(lambda t, y: y[:, 0] - threshold, "rising", reset=lambda t, y: part * y)
    return (lambda t, y: rate[:, None] * y), event


def leaves():
    """Rates and sizes of three cells, threshold, and the part that is left after a division."""
    numbers = (
        double(0.7, 1.3, 0.4),
        double([1.0], [0.7], [1.5]),
        double(2.0).squeeze(),
        double(0.4).squeeze(),
    )
    return tuple(each.requires_grad_() for each in numbers)


def outcome(rate, y0, threshold, part, t=None, **how):
    """All that has a gradient."""
    field, event = cell(rate, threshold, part)
    solution = solve(field, y0, times(0, 3, 5) if t is None else t, events=event, **how)
    found = solution.events
    return (solution.y, *(each.nan_to_num() for each in (found.t, found.before, found.after)))


def closed_form(rate, y0, threshold, part, t):
    """Sizes (B, T, 1) and the times (B, K) of the first divisions."""
    first = (threshold / y0[:, 0]).log() / rate
    every = -part.log() / rate
    divisions = first[:, None] + torch.arange(6) * every[:, None]
    count = (divisions.detach()[:, None] <= t[:, None]).sum(-1)
    return y0 * torch.exp(rate[:, None] * t) * part**count, divisions


@pytest.mark.parametrize("gradient", WAYS)
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8"])
def test_gradients_of_divisions_in_closed_form(method, gradient):
    """Of the divisions' times and of the sizes, by rates, starts, threshold and part."""
    t = double(0.0, 0.3, 1.7, 2.9)
    ours, exact = leaves(), leaves()
    y, at, before, after = outcome(*ours, t=t, method=method, gradient=gradient, rtol=1e-10, atol=1e-11)
    sizes, divisions = closed_form(*exact, t)
    there = at != 0
    expected = torch.where(there, divisions[:, : at.shape[1]], 0.0)
    torch.testing.assert_close(y[..., 0], sizes, rtol=1e-8, atol=0)
    torch.testing.assert_close(at, expected, rtol=1e-8, atol=0)
    (y.square().sum() + at.square().sum() + after.sum() + before.sum()).backward()
    threshold, part = exact[2:]
    passed = there.sum() * threshold * (1 + part)
    (sizes.square().sum() + expected.square().sum() + passed).backward()
    for leaf, right in zip(ours, exact, strict=True):
        torch.testing.assert_close(leaf.grad, right.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("gradient", WAYS)
def test_a_doubling_time_has_the_gradient_of_ln_2_by_the_rate(gradient):
    rate = double(0.9, 1.4).requires_grad_()
    field, event = cell(rate, 2.0, 0.5)
    found = solve(field, double([1.0], [1.0]), double(0, 3), events=event, gradient=gradient, **TIGHT).events
    doubling = found.t[:, 1] - found.t[:, 0]
    torch.testing.assert_close(doubling, math.log(2) / rate, rtol=1e-9, atol=0)
    (by_rate,) = torch.autograd.grad(doubling.sum(), rate)
    torch.testing.assert_close(by_rate, -math.log(2) / rate.detach().square(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4"])
def test_gradcheck_of_first_and_second_derivatives(method):
    """Of one cell that divides once before the output."""
    how = {"step": 0.02} if method == "rk4" else TIGHT
    one = tuple(each.detach()[:1].requires_grad_() if each.ndim else each for each in leaves())

    def function(*each):
        return outcome(*each, t=double(0, 1.4), method=method, **how)

    assert function(*one)[1].ne(0).sum() == 1
    assert gradcheck(function, one, eps=1e-5, atol=1e-6)
    if method == "dopri5":
        assert gradgradcheck(function, one, eps=1e-5, atol=1e-5)


def pendulum(k):
    return lambda t, y: torch.stack((y[:, 1], -k * torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * t)), 1)


def wall(angle, loss):
    """A moving wall that throws the pendulum back."""
    return Event(
        lambda t, y: y[:, 0] - angle * torch.cos(t),
        "rising",
        reset=lambda t, y: torch.stack((y[:, 0], -loss * y[:, 1] - torch.sin(t) * angle), 1),
    )


@pytest.mark.parametrize("gradient", WAYS)
@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_gradients_by_times_start_and_parameters_equal_finite_differences(gradient, way):
    """A driven pendulum at a moving wall: g and reset depend on time."""
    numbers = (
        double([0.0, 1.0], [-0.3, 2.0]),
        way * double([0.0, 1.3, 3.0], [0.0, 0.9, 2.5]),
        double(2.0),
        double(0.8),
        double(0.7),
    )

    def loss(y0, t, k, angle, part):
        solution = solve(pendulum(k), y0, t, events=wall(angle, part), gradient=gradient, **TIGHT)
        assert solution.events.counts.ge(1).all()
        return solution.y.square().sum() + solution.events.t.nan_to_num().sin().sum() + solution.y[:, 1].sum()

    inputs = [each.clone().requires_grad_() for each in numbers]
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    with torch.no_grad():
        for i, each in enumerate(numbers):
            direction = torch.randn(each.shape, dtype=each.dtype, generator=torch.Generator().manual_seed(i))
            ahead, behind = (
                loss(*(n + s * 1e-5 * direction if n is each else n for n in numbers)) for s in (1, -1)
            )
            expected = (ahead - behind) / 2e-5
            torch.testing.assert_close((gradients[i] * direction).sum(), expected, rtol=2e-5, atol=1e-6)


def test_event_time_and_state_equal_torchdiffeqs():
    """`odeint_event`, of each sample alone."""
    k, angle = double(2.0).requires_grad_(), 0.9  # parameters of g get no gradient there
    y0 = double([0.0, 2.0], [-0.3, 2.2]).requires_grad_()
    event = Event(lambda t, y: y[:, 0] - angle * torch.cos(t), "rising", terminal=True)
    found = solve(pendulum(k), y0, double(0, 4), events=event, **TIGHT).events
    ours = torch.autograd.grad((found.t.square() + found.after.sum(-1)).sum(), (y0, k))
    total = 0.0
    for b in range(2):
        t, y = odeint_event(
            lambda t, y: pendulum(k)(t[None], y[None])[0],
            y0[b],
            double(0.0).squeeze(),
            event_fn=lambda t, y: y[0] - angle * torch.cos(t),
            rtol=1e-11,
            atol=1e-12,
            method="dopri5",
        )
        torch.testing.assert_close(found.t[b, 0], t, rtol=1e-8, atol=0)
        total = total + t.square() + y[-1].sum()
    for actual, expected in zip(ours, torch.autograd.grad(total, (y0, k)), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("gradient", WAYS)
def test_a_recorded_time_has_the_gradient_of_its_threshold_alone(gradient):
    """t* = -ln c of y' = -y from 1: by c -1 / c, with nothing else to differentiate."""
    level = double(0.5).requires_grad_()
    event = Event(lambda t, y: y[:, 0] - level)
    solution = solve(lambda t, y: -y, double([1.0]), double(0, 2), events=event, gradient=gradient, **TIGHT)
    (by_level,) = torch.autograd.grad(solution.events.t.sum(), level)
    torch.testing.assert_close(by_level, double(-2.0), rtol=1e-9, atol=0)
    assert not solution.y.requires_grad or gradient != "direct"


@pytest.mark.parametrize("gradient", WAYS)
def test_gradients_of_the_interpolant_and_of_parts(gradient):
    rate = double(0.9).requires_grad_()
    event = Event(lambda t, y: y["size"] - 2, "rising", reset=lambda t, y: {"size": y["size"] / 2})
    start = {"size": double(1.0)}
    solution = solve(
        lambda t, y: {"size": rate * y["size"]}, start, double(0, 2), events=event, gradient=gradient, **TIGHT
    )
    size = solution.interpolant(double(0.5, 1.5))["size"][0]
    torch.testing.assert_close(size, torch.exp(rate * double(0.5, 1.5)) / double(1, 2), rtol=1e-9, atol=0)
    (by_rate,) = torch.autograd.grad(size.sum(), rate)
    expected = (double(0.5, 1.5) * size.detach()).sum()
    torch.testing.assert_close(by_rate, expected[None], rtol=1e-6, atol=0)


def graze(scale):
    """y = t² - t from 0; g = y + 1/4 touches zero at 1/2, where one look falls."""
    event = Event(lambda t, y: y[:, 0] + 0.25 * scale)
    how = {"method": "rk4", "events": event}
    return solve(lambda t, y: (2 * t - 1)[:, None], double([0.0], [1.0]), double(0, 1), **how)


def test_the_gradient_of_a_time_at_which_g_grazes_zero_is_refused():
    scale = double(1.0).requires_grad_()
    solution = graze(scale)
    assert solution.events.counts[0].item() > 0 and solution.events.counts[1].item() == 0
    message = (
        r"events\[0\]\.g must pass through zero with a slope for gradients, that of its time being "
        r"-dg / \(dg/dt\): got dg/dt = 0, or of the wrong sign, in sample 0 at t = 0\.5"
    )
    with pytest.raises(ValueError, match=message):
        solution.events.t[0, 0].backward()


def test_second_derivatives_are_those_of_direct_only():
    rate = double(0.9).requires_grad_()
    field, event = cell(rate, 2.0, 0.5)
    how = {"events": event, **TIGHT}
    found = solve(field, double([1.0]), double(0, 2), **how).events.t[0, 0]
    (first,) = torch.autograd.grad(found, rate, create_graph=True)
    (second,) = torch.autograd.grad(first, rate)
    torch.testing.assert_close(second, 2 * math.log(2) / rate.detach() ** 3, rtol=1e-6, atol=0)
    found = solve(field, double([1.0]), double(0, 2), gradient="replay", **how).events.t[0, 0]
    with pytest.raises(ValueError, match='gradient must be "direct" for second derivatives'):
        torch.autograd.grad(found, rate, create_graph=True)


@pytest.mark.parametrize("gradient", WAYS)
def test_the_gradient_of_a_sample_is_its_own(gradient):
    """In a crowd in which another has no event, and one chatters and fails."""
    rate = double(0.9, 0.1, 2.0).requires_grad_()
    part = double(0.5, 0.5, 0.999).requires_grad_()
    event = Event(lambda t, y: y[:, 0] - 2, "rising", reset=lambda t, y: part[:, None] * y, most=5)
    how = {"gradient": gradient, "on_failure": "return", **TIGHT}
    start = torch.ones(3, 1, dtype=torch.float64)
    solution = solve(lambda t, y: rate[:, None] * y, start, double(0, 1, 2), events=event, **how)
    assert solution.events.counts.flatten().tolist() == [2, 0, 5] and solution.status.tolist() == [0, 0, 4]
    (by_rate,) = torch.autograd.grad(solution.y[:2, -1].sum() + solution.events.t[0, 0], rate)
    sizes = torch.exp(2 * rate.detach())
    expected = double(sizes[0] / 2 - math.log(2) / 0.81, 2 * sizes[1], 0.0)
    torch.testing.assert_close(by_rate, expected, rtol=1e-6, atol=1e-12)


def leak_gradient(first_step):
    """Of y' = 1 - θ √y, refilled at 2: for its two starts and for θ; and how often."""
    y0, leak = double([4.0], [9.0]).requires_grad_(), double(1.0).squeeze().requires_grad_()
    event = Event(lambda t, y: y[:, 0] - 2, "falling", reset=lambda t, y: y + 2)
    how = {"rtol": 1e-9, "atol": 1e-9, "first_step": first_step}
    solution = solve(lambda t, y: 1 - leak * y.sqrt(), y0, double(0.0, 10.0), events=event, **how)
    total = solution.y[:, -1].sum() + solution.events.t.nan_to_num().sum()
    return torch.autograd.grad(total, (y0, leak)), solution


def test_a_rejected_step_that_overflowed_does_not_spoil_the_gradient():
    """A trial of one step from 0 to 10 leaves the domain of √y; the pieces between the events do not."""
    rash, solution = leak_gradient(first_step=10.0)
    careful, plain = leak_gradient(first_step=1e-3)
    assert solution.stats.rejected.gt(0).all() and solution.events.counts.gt(0).all()
    torch.testing.assert_close(solution.events.t, plain.events.t, rtol=1e-7, atol=0, equal_nan=True)
    torch.testing.assert_close(rash, careful, rtol=1e-5, atol=1e-6)


def switched_cell(gradient, per_sample=True, method="dopri5"):
    """Supply from 1 on, division at a threshold, times and lengths of each: a loss and its gradients."""
    rate, threshold = double(1.0).requires_grad_(), double(1.1).requires_grad_()
    t = double([0.0, 0.8, 1.0, 2.3, 4.0], [0.0, 1.5, 2.0, 3.0, 3.5]).requires_grad_()
    event = Event(lambda t, y: y[:, 0] - threshold, "rising", reset=lambda t, y: 0.2 * y)
    solution = solve(
        lambda t, y: torch.where(t < 1, 0.3, 2.0)[:, None] * rate - y,
        torch.zeros(2, 1, dtype=torch.float64),
        t,
        lengths=torch.tensor([5, 4]),
        breaks=double(1.0),
        events=event,
        gradient=gradient,
        per_sample=per_sample,
        method=method,
        **({"step": 0.01} if method == "rk4" else {"rtol": 1e-10, "atol": 1e-11}),
    )
    assert solution.events.counts.flatten().tolist() == [4, 2]
    loss = solution.y.sin().sum() + solution.events.t.nan_to_num().sum()
    return loss, *torch.autograd.grad(loss, (rate, threshold, t))


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
@pytest.mark.parametrize("method", ["dopri5", "rk4", "dopri8"])
@pytest.mark.parametrize("gradient", WAYS)
def test_every_way_with_breaks_lengths_and_joint_steps(gradient, method, per_sample):
    expected = switched_cell("direct")
    for actual, right in zip(switched_cell(gradient, per_sample, method), expected, strict=True):
        torch.testing.assert_close(actual, right, rtol=1e-8, atol=1e-8)
