"""Events: closed forms, torchdiffeq, invariants, and what they must not disturb."""

import math

import pytest
import torch
from ode_problems import ADAPTIVE, FIXED, double, times
from scipy.integrate import solve_ivp

from helpers.odes import Event, SolveError, Status, solve

GRAVITY = 9.81
TIGHT = {"rtol": 1e-11, "atol": 1e-12}


def fall(t, y):
    """Height and speed of a ball."""
    return torch.stack((y[:, 1], torch.full_like(y[:, 1], -GRAVITY)), 1)


def bounce(restitution=0.7, **how):
    def reset(t, y):
        return torch.stack((y[:, 0], -restitution * y[:, 1]), 1)

    return Event(lambda t, y: y[:, 0], direction="falling", reset=reset, **how)


def bounces(height, speed, count, restitution=0.7):
    """When a ball that is thrown from a height touches the ground."""
    landing = math.sqrt(speed**2 + 2 * GRAVITY * height)
    found = [(speed + landing) / GRAVITY]
    for k in range(1, count):
        found.append(found[-1] + 2 * restitution**k * landing / GRAVITY)
    return double(*found)


BALLS = double([1.0, 0.0], [2.0, 1.0], [0.5, -1.0])


def accuracy(method):
    return {"step": 0.05} if method in FIXED else {"rtol": 1e-5, "atol": 1e-7}


@pytest.mark.parametrize("per_sample", [True, False], ids=["own steps", "joint steps"])
@pytest.mark.parametrize("method", [name for name in (*ADAPTIVE, *FIXED) if name != "euler"])
def test_all_bounces_of_a_ball(method, per_sample):
    """A method of order 2 or more solves a parabola exactly, its roots too."""
    events = bounce()
    solution = solve(
        fall, BALLS, times(0, 1.5, 7), events=events, method=method, per_sample=per_sample, **accuracy(method)
    )
    assert solution.events.counts.flatten().tolist() == [2, 1, 5]
    for b, (height, speed) in enumerate(BALLS.tolist()):
        count = solution.events.counts[b, 0]
        found = solution.events.t[b]
        assert found[count:].isnan().all() and solution.events.which[b, count:].eq(-1).all()
        torch.testing.assert_close(found[:count], bounces(height, speed, count), rtol=0, atol=1e-12)


def fire(threshold=1.0, **how):
    return Event(lambda t, y: y[:, 0] - threshold, "rising", reset=lambda t, y: torch.zeros_like(y), **how)


def leak(current):
    """v' = I - v: an integrate-and-fire neuron below its threshold."""
    return lambda t, y: current[:, None] - y


CURRENT = double(1.1, 1.5, 0.9, 3.0)


def firing_times(current, count):
    """k ln(I / (I - 1))."""
    return torch.arange(1, count + 1) * torch.log(current / (current - 1))


@pytest.mark.parametrize("method", ["rk4", "bosh3", "dopri5", "tsit5", "dopri8"])
def test_a_neuron_fires_when_it_should(method):
    how = {"step": 0.01} if method == "rk4" else {"rtol": 1e-9, "atol": 1e-10}
    start = torch.zeros(4, 1, dtype=torch.float64)
    solution = solve(leak(CURRENT), start, double(0, 12), events=fire(), method=method, **how)
    assert solution.events.counts.flatten().tolist() == [5, 10, 0, 29]
    for b in (0, 1, 3):
        count = solution.events.counts[b, 0]
        expected = firing_times(CURRENT[b], count)
        torch.testing.assert_close(solution.events.t[b, :count], expected, rtol=1e-7, atol=0)
        ones = torch.ones(count, 1, dtype=torch.float64)
        torch.testing.assert_close(solution.events.before[b, :count], ones, rtol=1e-12, atol=0)
        assert solution.events.after[b, :count].eq(0).all()


def grow(rate):
    return lambda t, y: rate[:, None] * y


def divide(threshold=2.0, part=0.5, **how):
    return Event(lambda t, y: y[:, 0] - threshold, "rising", reset=lambda t, y: part * y, **how)


def test_a_cell_divides_every_doubling_time_with_its_gradient():
    """ln 2 / μ, and by μ -ln 2 / μ²."""
    rate = double(0.7, 1.3, 2.0).requires_grad_()
    start = torch.ones(3, 1, dtype=torch.float64)
    found = solve(grow(rate), start, double(0, 3), events=divide(), **TIGHT).events
    assert found.counts.flatten().tolist() == [3, 5, 8]
    for k in range(3):
        torch.testing.assert_close(found.t[:, k], (k + 1) * math.log(2) / rate, rtol=1e-10, atol=0)
        (by_rate,) = torch.autograd.grad(found.t[:, k].sum(), rate, retain_graph=True)
        torch.testing.assert_close(by_rate, -(k + 1) * math.log(2) / rate.square(), rtol=1e-9, atol=0)


def oscillator(t, y):
    return torch.stack((y[:, 1], -y[:, 0]), 1)


@pytest.mark.parametrize("direction", ["rising", "falling", "both"])
@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_directions_are_those_in_which_the_solution_is_followed(direction, way):
    """sin(t + φ) rises through 0 at multiples of 2π; backwards it falls there."""
    phase = double(0.3, 1.0, 4.0)
    start = torch.stack((phase.sin(), phase.cos()), 1)
    event = Event(lambda t, y: y[:, 0], direction)
    found = solve(oscillator, start, double(0, 20 * way), events=event, **TIGHT).events
    for b in range(3):
        k = torch.arange(-20, 21)
        roots = k.double() * math.pi - phase[b]
        rises = (k % 2 == 0) == (way == 1)
        wanted = {"rising": rises, "falling": ~rises, "both": k == k}[direction]
        wanted &= (way * roots > 0) & (way * roots < 20)
        expected = roots[wanted].sort(descending=way < 0).values.double()
        torch.testing.assert_close(found.t[b, : len(expected)], expected, rtol=0, atol=1e-9)
        assert found.counts[b, 0] == len(expected)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_events_that_are_only_recorded_hardly_change_the_solution(method):
    t = times(0, 10, 21)
    start = double([0.0, 1.0], [0.5, 0.5])
    event = Event(lambda t, y: y[:, 0] - 0.2)
    with_events = solve(oscillator, start, t, events=event, method=method, rtol=1e-8, atol=1e-9)
    without = solve(oscillator, start, t, method=method, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(with_events.y, without.y, rtol=0, atol=1e-6)
    assert with_events.events.counts.gt(2).all()


@pytest.mark.parametrize("method", [*ADAPTIVE, *FIXED])
def test_events_that_do_not_happen_change_nothing(method):
    t, how = times(0, 3, 7), accuracy(method)
    start = double([0.0, 1.0], [0.5, 0.5])
    ours = solve(oscillator, start, t, events=Event(lambda t, y: y[:, 0] - 5), method=method, **how)
    plain = solve(oscillator, start, t, method=method, **how)
    assert ours.y.equal(plain.y) and ours.stats.accepted.equal(plain.stats.accepted)
    assert ours.events.t.shape == (2, 0) and ours.events.before.shape == (2, 0, 2)
    assert plain.events is None


def test_two_roots_in_one_step_are_found():
    """sin t is below -0.9 from 4.26 to 5.16; the steps are 2 long."""
    event = Event(lambda t, y: y[:, 0] + 0.9)
    solution = solve(lambda t, y: t.cos()[:, None], double([0.0]), times(0, 6, 4), events=event, method="rk4")
    assert solution.events.counts.item() == 2 and solution.stats.accepted.item() == 5
    torch.testing.assert_close(solution.events.t[0], double(4.26, 5.16), rtol=0, atol=0.2)


def test_an_output_at_the_time_of_an_event_is_the_state_after_it():
    landing = bounces(1.0, 0.0, 1).item()
    start = double([1.0, 0.0])
    event = bounce()
    exact = solve(fall, start, double(0, 1), events=event).events.t[0, 0].item()
    solution = solve(fall, start, double(0, exact, 1), events=event)
    assert abs(exact - landing) < 1e-14
    speed = GRAVITY * landing
    assert solution.y[0, 1, 1].item() == pytest.approx(0.7 * speed, rel=1e-12)
    sides = solution.interpolant(double(exact - 1e-9, exact, exact + 1e-9))[0, :, 1]
    torch.testing.assert_close(sides, double(-speed, 0.7 * speed, 0.7 * speed), rtol=1e-7, atol=0)


def test_a_terminal_event_ends_the_solution_of_its_sample():
    current = double(1.5, 0.5)
    event = Event(lambda t, y: y[:, 0] - 1, terminal=True)
    t = times(0, 4, 9)
    solution = solve(leak(current), torch.zeros(2, 1, dtype=torch.float64), t, events=event, rtol=1e-9)
    end = math.log(3)
    assert solution.status.eq(Status.OK).all()
    assert solution.events.t[0].item() == pytest.approx(end, rel=1e-8)
    assert solution.y[0, t > end].isnan().all() and solution.y[0, t < end].isfinite().all()
    torch.testing.assert_close(solution.y[1, :, 0], 0.5 * (1 - torch.exp(-t)), rtol=0, atol=1e-7)
    later = solution.interpolant(double(1.0, 3.0))
    assert later[0, 0].isfinite().all() and later[0, 1].isnan().all()


def test_several_events_in_their_order():
    """A dose whenever the level has fallen to 1; a record at 1.5, whenever the level passes it."""
    dose = Event(lambda t, y: y[:, 0] - 1, "falling", reset=lambda t, y: y + 1)
    half = Event(lambda t, y: y[:, 0] - 1.5)
    solution = solve(lambda t, y: -y, double([2.0]), double(0, 2), events=[dose, half], rtol=1e-9)
    found = solution.events
    assert found.which.tolist() == [[1, 0, 1, 0, 1]] and found.counts.tolist() == [[2, 3]]
    long, short = math.log(2), math.log(4 / 3)
    expected = double([short, long, long + short, 2 * long, 2 * long + short])
    torch.testing.assert_close(found.t, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_events_are_scipys(method):
    """Of a predator and its prey, in a season; some steps are rejected that would have passed an event."""
    generator = torch.Generator().manual_seed(12)
    growth = 0.5 + torch.rand(3, generator=generator, dtype=torch.float64)
    start = 0.5 + 2 * torch.rand(3, 2, generator=generator, dtype=torch.float64)
    few = 0.8 + torch.rand(1, generator=generator, dtype=torch.float64).item()

    def field(t, y):
        prey, predator = y.unbind(-1)
        season = 1 - 0.1 * torch.sin(3 * t)
        return torch.stack((growth * prey - prey * predator, prey * predator - predator * season), -1)

    def level(t, y):
        return y[0] - few

    def moving(t, y):
        return y[1] - y[0] * math.cos(t)

    moving.direction = 1
    events = [
        Event(lambda t, y: y[:, 0] - few),
        Event(lambda t, y: y[:, 1] - y[:, 0] * torch.cos(t), "rising"),
    ]
    solution = solve(field, start, double(0, 15), events=events, method=method, rtol=1e-9, atol=1e-10)
    found = solution.events
    for b in range(3):

        def alone(t, y, b=b):
            state = torch.from_numpy(y)[None].expand(3, -1)
            return field(torch.full((3,), t, dtype=torch.float64), state)[b].numpy()

        how = {"rtol": 1e-11, "atol": 1e-12, "max_step": 0.05, "events": [level, moving]}
        theirs = solve_ivp(alone, (0, 15), start[b].numpy(), "DOP853", **how).t_events
        for e in range(2):
            ours = found.t[b][found.which[b] == e]
            torch.testing.assert_close(ours, torch.from_numpy(theirs[e]), rtol=0, atol=1e-6)


def test_events_that_come_together_come_one_after_the_other():
    """Two equal neurons in one state fire both."""
    first, second = (
        Event(
            lambda t, y, k=k: y[:, k] - 1,
            "rising",
            reset=lambda t, y, k=k: torch.where(torch.arange(2) == k, 0.0, y),
        )
        for k in (0, 1)
    )
    start = torch.zeros(1, 2, dtype=torch.float64)
    found = solve(leak(double(1.5)), start, double(0, 4), events=[first, second], rtol=1e-10).events
    assert found.counts.tolist() == [[3, 3]] and found.which.tolist() == [[0, 1, 0, 1, 0, 1]]
    torch.testing.assert_close(found.t[0, ::2], firing_times(double(1.5), 3), rtol=1e-8, atol=0)
    torch.testing.assert_close(found.t[0, ::2], found.t[0, 1::2], rtol=0, atol=1e-13)


def test_a_reset_across_another_events_zero_is_not_that_event():
    down = Event(lambda t, y: y[:, 0] - 1, "falling", reset=lambda t, y: y + 1)
    up = Event(lambda t, y: y[:, 0] - 1.5, "rising")
    assert solve(lambda t, y: -y, double([2.0]), double(0, 2), events=[down, up]).events.counts.tolist() == [
        [2, 0]
    ]


def test_a_sample_is_the_same_alone_in_a_crowd_and_in_another_order():
    current, t = double(1.1, 1.5, 0.9, 3.0, 1.1), times(0, 6, 5)
    start = torch.zeros(5, 1, dtype=torch.float64)
    crowd = solve(leak(current), start, t, events=fire())
    order = torch.tensor([3, 0, 4, 2, 1])
    mixed = solve(leak(current[order]), start, t, events=fire())
    assert mixed.y.equal(crowd.y[order]) and mixed.events.which.equal(crowd.events.which[order])
    torch.testing.assert_close(mixed.events.t, crowd.events.t[order], rtol=0, atol=0, equal_nan=True)
    for b in range(5):
        alone = solve(leak(current[b : b + 1]), start[:1], t, events=fire())
        count = alone.events.counts.item()
        assert alone.y.equal(crowd.y[b : b + 1]) and count == crowd.events.counts[b, 0]
        assert alone.events.t[0].equal(crowd.events.t[b, :count])


def hunted(which):
    """Some of five predators and preys: caught prey is set free, predators are shot, a record is kept."""
    generator = torch.Generator().manual_seed(103)
    growth, level = (0.5 + torch.rand(2, 5, generator=generator, dtype=torch.float64))[:, which]
    start = 0.5 + 2 * torch.rand(5, 2, generator=generator, dtype=torch.float64)[which]

    def field(t, y):
        prey, predator = y.unbind(-1)
        return torch.stack(
            (growth * prey - prey * predator, predator * (prey - 1 + torch.sin(3 * t) / 3)), -1
        )

    free, shoot = double(1.5, 1.0), double(1.0, 0.5)
    events = [
        Event(lambda t, y: y[:, 0] - level, "falling", reset=lambda t, y: y * free, most=6),
        Event(lambda t, y: y[:, 1] - y[:, 0] * torch.cos(t), "rising"),
        Event(lambda t, y: y[:, 1] - 2 * level, "rising", reset=lambda t, y: y * shoot, most=6),
    ]
    return field, start, events


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8", "rk4"])
def test_many_events_of_a_sample_are_the_same_to_the_bit_alone(method):
    """With rejected steps, with failures by `most`, and with other samples' events in the same trial."""
    how = {"step": 0.1} if method == "rk4" else {"rtol": 1e-5, "atol": 1e-7}

    def solved(which):
        field, start, events = hunted(which)
        t = times(0, 12, 7)
        return solve(field, start, t, events=events, method=method, on_failure="return", **how)

    crowd = solved(slice(None))
    assert crowd.events.counts.sum(0).gt(2).all()
    for b in range(5):
        alone, own = solved(slice(b, b + 1)), crowd.events.which[b] >= 0
        assert alone.y[0].nan_to_num(-1.0).equal(crowd.y[b].nan_to_num(-1.0))
        assert alone.events.t[0].equal(crowd.events.t[b, own])
        assert alone.events.which[0].equal(crowd.events.which[b, own]) and alone.status == crowd.status[b]


def test_a_sample_that_chatters_leaves_the_others_alone():
    """A ball bounces infinitely often before it comes to rest, here at 1.8."""
    t = times(0, 3, 4)
    both = solve(fall, BALLS[[0, 2]], t, events=bounce(0.2, most=30), on_failure="return")
    alone = solve(fall, BALLS[[1]], t, events=bounce(0.2, most=30), on_failure="return")
    assert both.status.eq(Status.EVENT_LIMIT).all() and alone.status.eq(Status.EVENT_LIMIT).all()
    assert both.y[:, -1].isnan().all()
    once = bounce(0.2, most=1)
    three = solve(fall, BALLS, t[:2], events=once, on_failure="return")
    calm = solve(fall, BALLS[[1]], t[:2], events=once)
    assert three.status.tolist() == [Status.EVENT_LIMIT, Status.OK, Status.EVENT_LIMIT]
    assert three.y[1].equal(calm.y[0]) and three.events.t[1].equal(calm.events.t[0])


def test_a_ball_that_comes_to_rest_is_told_to_chatter():
    message = (
        r"sample 1 failed at t = 0\.9\d+: events\[0\] would happen once more "
        r"\(\d+ so far, the last \S+ before\) .*; "
        r"if it chatters, let its reset lead farther from g = 0 or make it terminal, otherwise raise most$"
    )
    with pytest.raises(SolveError, match=message) as failure:
        solve(fall, double([20.0, 0.0], [1.0, 0.0]), double(0, 2), events=bounce(0.35, most=100))
    solution = failure.value.solution
    rest = bounces(1.0, 0.0, 100, 0.35)[-1].item()
    assert solution.events.t[1].nan_to_num().max().item() == pytest.approx(rest, rel=1e-12)
    assert solution.events.failed.tolist() == [-1, 0] and solution.status[0] == Status.OK


def test_lengths_and_times_of_each_sample():
    """Events after a sample's own last time do not happen."""
    t = double([0.0, 1.0, 9.0], [0.0, 3.0, 4.0], [2.0, 2.0, 2.0])
    lengths = torch.tensor([2, 3, 3])
    start = torch.zeros(3, 1, dtype=torch.float64)
    solution = solve(leak(double(2.0, 2.0, 2.0)), start, t, lengths=lengths, events=fire(), rtol=1e-9)
    assert solution.events.counts.flatten().tolist() == [1, 5, 0]
    torch.testing.assert_close(solution.events.t[1], firing_times(double(2.0), 5), rtol=1e-7, atol=0)


def test_single_precision():
    solution = solve(leak(CURRENT.float()), torch.zeros(4, 1), torch.tensor([0.0, 5.0]), events=fire())
    assert solution.events.t.dtype == torch.float64 and solution.events.before.dtype == torch.float32
    assert solution.events.counts.flatten().tolist() == [2, 4, 0, 12]
    expected = firing_times(CURRENT[3], 12)
    torch.testing.assert_close(solution.events.t[3], expected, rtol=1e-5, atol=0)
    balls = solve(fall, BALLS.float(), torch.tensor([0.0, 1.5]), events=bounce())
    torch.testing.assert_close(balls.events.t[2], bounces(0.5, -1.0, 5), rtol=1e-5, atol=0)


def test_jumps_of_the_field_between_events():
    """The current is switched on at t = 1."""

    def field(t, y):
        return torch.where(t < 1, 0.0, 2.0)[:, None] - y

    start = torch.zeros(1, 1, dtype=torch.float64)
    found = solve(field, start, double(0, 3), breaks=double(1.0), events=fire(), rtol=1e-9).events
    torch.testing.assert_close(found.t[0], 1 + firing_times(double(2.0), 2), rtol=1e-8, atol=0)


def test_one_state_without_a_batch():
    event = Event(lambda t, y: y[0], "falling", reset=lambda t, y: torch.stack((y[0], -0.7 * y[1])))
    solution = solve(
        lambda t, y: torch.stack((y[1], -GRAVITY + 0 * t)), BALLS[2], double(0, 1.5), events=event
    )
    assert solution.events.t.shape == (5,) and solution.events.before.shape == (5, 2)
    assert solution.events.counts.tolist() == [5] and solution.events.failed.item() == -1
    torch.testing.assert_close(solution.events.t, bounces(0.5, -1.0, 5), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [dict, tuple], ids=["dict", "tuple"])
def test_states_of_several_parts(kind):
    """A volume that grows and halves, and a protein that is made at the rate 1 and halves with it."""
    keys = ("volume", "protein") if kind is dict else (0, 1)

    def whole(*parts):
        return dict(zip(keys, parts, strict=True)) if kind is dict else parts

    def field(t, y):
        return whole(y[keys[0]], torch.ones_like(y[keys[1]]))

    event = Event(
        lambda t, y: y[keys[0]] - 2, "rising", reset=lambda t, y: whole(y[keys[0]] / 2, y[keys[1]] / 2)
    )
    start = whole(double(1.0), double([0.0, 1.0]))
    solution = solve(field, start, double(0, 1.5), events=event, rtol=1e-10)
    torch.testing.assert_close(solution.events.t, math.log(2) * double([1.0, 2.0]), rtol=1e-9, atol=0)
    protein = solution.events.after[keys[1]]
    assert protein.shape == (1, 2, 2)
    torch.testing.assert_close(protein[0, 0], (math.log(2) + double(0.0, 1.0)) / 2, rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4", "bosh3"])
def test_evaluations_are_counted(method):
    """Of one sample, whose evaluations are all for its own sake."""
    calls = []

    def field(t, y):
        calls.append(1)
        return 1.5 - y

    start = torch.zeros(1, 1, dtype=torch.float64)
    how = {"step": 0.1} if method == "rk4" else {}
    solution = solve(field, start, double(0, 5), events=fire(), method=method, **how)
    assert solution.stats.evaluations.item() == len(calls)
    assert solution.events.counts.item() == 4


def test_a_function_may_write_into_what_it_gets():
    def spoil(t, y):
        level = y[:, 0] - 1
        y.zero_()
        t.zero_()
        return level

    def reset(t, y):
        return y.zero_()

    event = Event(spoil, "rising", reset=reset)
    start = torch.zeros(4, 1, dtype=torch.float64)
    ours, plain = (solve(leak(CURRENT), start, double(0, 5), events=each) for each in (event, fire()))
    assert ours.y.equal(plain.y) and ours.events.counts.equal(plain.events.counts)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no grad", "inference"])
def test_no_graph_is_needed(mode):
    with mode():
        found = solve(fall, BALLS.clone(), double(0, 1.5), events=bounce()).events
    assert found.counts.flatten().tolist() == [2, 1, 5] and not found.t.requires_grad
