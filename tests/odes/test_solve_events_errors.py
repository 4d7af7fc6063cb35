"""What events refuse, and how a sample fails by them."""

import copy
import pickle

import pytest
import torch
from ode_problems import double

from helpers.odes import Event, SolveError, Status, solve

Y0 = double([2.0, 1.0], [3.0, 1.0], [4.0, 1.0])
T = double(0.0, 1.0, 2.0)


def decay(t, y):
    return -y


def level(t, y):
    return y[:, 0] - 1


def refused(message, events, f=decay, y0=Y0, t=T, **how):
    with pytest.raises(ValueError, match=message):
        solve(f, y0, t, events=events, **how)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (level, "events must be an Event, or a list of them: got function"),
        ([Event(level), level], r"events\[1\] must be an Event: got function"),
        (Event(1.0), r"events\[0\]\.g must be a function of t and y: got float"),
        (Event(level, reset=1.0), r"events\[0\]\.reset must be a function of t and y: got float"),
        (Event(level, "down"), r"events\[0\]\.direction must be one of rising, falling, both: got 'down'"),
        (Event(level, most=0), r"events\[0\]\.most must be a whole number of at least 1: got 0"),
        (
            Event(level, terminal=True, reset=lambda t, y: y),
            r"events\[0\] must not have a reset if it is terminal: got both",
        ),
    ],
    ids=["a function", "a function in a list", "no g", "no reset", "direction", "most", "terminal and reset"],
)
def test_what_is_no_event(events, message):
    refused(message, events)


@pytest.mark.parametrize(
    ("g", "message"),
    [
        (lambda t, y: y[:, :1], r"events\[0\]\.g must return the shape of t, \(3,\): got \(3, 1\)"),
        (lambda t, y: y.sum(), r"events\[0\]\.g must return the shape of t, \(3,\): got \(\)"),
        (
            lambda t, y: level(t, y).float(),
            r"g must return the dtype of t, torch\.float64: got torch\.float32",
        ),
        (lambda t, y: 1.0, r"events\[0\]\.g must return a tensor: got float"),
        (
            lambda t, y: y[:, 0] - 3,
            r"events\[0\]\.g must not be zero at the start: got 0 in sample 1, at t = 0$",
        ),
        (
            lambda t, y: (y[:, 0] - 2.5).log(),
            r"events\[0\]\.g must be finite at the start: got nan in sample 0, at t = 0$",
        ),
    ],
    ids=["a column", "a number for all", "another dtype", "no tensor", "zero at the start", "not finite"],
)
def test_what_g_returns(g, message):
    refused(message, Event(g))


def test_a_g_of_one_state_returns_one_number():
    refused(
        r"events\[0\]\.g must return the shape of t, \(\): got \(1,\)",
        Event(lambda t, y: y[:1] - 1),
        y0=double(2.0, 1.0),
    )


def test_a_sample_that_goes_nowhere_may_start_at_zero():
    t = double([0.0, 1.0], [2.0, 2.0], [0.0, 1.0])
    solution = solve(decay, Y0, t, events=Event(lambda t, y: y[:, 0] - 3))
    assert solution.events.counts.flatten().tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        (lambda t, y: y[:, :1], r"events\[0\]\.reset must return the shape of y, \(3, 2\): got \(3, 1\)"),
        (lambda t, y: y.float(), r"reset must return the dtype of y, torch\.float64: got torch\.float32"),
        (lambda t, y: None, r"events\[0\]\.reset must return a tensor: got NoneType"),
    ],
    ids=["another shape", "another dtype", "nothing"],
)
def test_what_a_reset_returns(reset, message):
    refused(message, Event(level, reset=reset))


def test_what_a_reset_of_parts_returns():
    start, event = {"a": double(2.0), "b": double([1.0, 1.0])}, {"g": lambda t, y: y["a"] - 1}

    def field(t, y):
        return {"a": -y["a"], "b": y["b"]}

    refused(
        r"events\[0\]\.reset\(t, y\) must be a dict of .*\['a'\], .*\['b'\]: got .*\['a'\], at t = 0\.69",
        Event(**event, reset=lambda t, y: {"a": y["a"]}),
        field,
        start,
    )
    refused(
        r"events\[0\]\.reset must return the shape of y\['b'\], \(1, 2\): got \(1,\), at t = 0\.69",
        Event(**event, reset=lambda t, y: {"a": y["a"], "b": y["a"]}),
        field,
        start,
    )


def failure(events, **how):
    with pytest.raises(SolveError) as caught:
        solve(decay, Y0, T, events=events, **how)
    return str(caught.value), caught.value.solution


def test_more_events_than_there_may_be():
    """From 2 back to 2 at 1, each ln 2; the others are full later."""
    event = Event(level, "falling", reset=lambda t, y: y + 1, most=1)
    message, solution = failure(event)
    assert (
        "sample 0 failed at t = 1.38629: events[0] would happen once more (1 so far, the last 0.69 before"
        in message
    )
    assert "otherwise raise most (1 other sample failed too)" in message
    assert solution.status.tolist() == [Status.EVENT_LIMIT, Status.EVENT_LIMIT, Status.OK]
    assert solution.events.failed.tolist() == [0, 0, -1]
    assert solution.events.counts.flatten().tolist() == [1, 1, 1]
    plain = solve(decay, Y0[2:], T, events=event)
    assert solution.y[2].equal(plain.y[0])


def test_a_g_that_is_not_finite_fails_its_sample_alone():
    event = Event(lambda t, y: (y[:, 0] - 0.4).log() + 3)
    message, solution = failure(event)
    assert message.startswith("sample 0 failed at t = 1.")
    assert "g of events[0] is not finite in the next step" in message
    assert message.endswith("check it for a singularity, or its parameters for NaN")
    assert solution.status.tolist() == [Status.NON_FINITE_EVENT, Status.OK, Status.OK]
    assert solution.y[0, 1].isfinite().all() and solution.y[0, 2].isnan().all()


def test_a_terminal_event_comes_before_its_g_is_not_finite():
    event = Event(lambda t, y: (y[:, 0] - 0.4).log() + 3, terminal=True)
    solution = solve(decay, Y0, T, events=event)
    crossing = torch.log(Y0[:2, 0] / (0.4 + torch.exp(double(-3.0))))
    assert solution.status.eq(Status.OK).all()
    torch.testing.assert_close(solution.events.t[:2, 0], crossing, rtol=1e-5, atol=0)


def test_a_reset_that_is_not_finite_fails_its_sample_alone():
    bad = double([1.0], [torch.nan], [1.0])
    message, solution = failure(Event(level, reset=lambda t, y: y + bad))
    assert "sample 1 failed at t = 1.0986" in message
    assert "the state after an event is not finite" in message and "check the event's reset" in message
    assert solution.status.tolist() == [Status.OK, Status.NON_FINITE_FIELD, Status.OK]


def test_a_solution_with_events_can_be_pickled_and_copied():
    event = Event(level, "falling", reset=lambda t, y: y + 1, most=1)
    _, solution = failure(event)
    copied = copy.deepcopy(solution)
    assert copied.events.t.nan_to_num().equal(solution.events.t.nan_to_num())
    assert pickle.loads(pickle.dumps(solution.events)).counts.equal(solution.events.counts)
    threshold = double(1.0).requires_grad_()
    graph = solve(decay, Y0, T, events=Event(lambda t, y: y[:, 0] - threshold))
    with pytest.raises(ValueError, match="a solution with a graph must not be copied"):
        copy.deepcopy(graph)


def test_a_slope_of_g_must_not_need_tensors_of_inference_mode():
    with torch.inference_mode():
        scale = double(1.0) * 2
        event = Event(lambda t, y: level(t, y) * scale, "falling", reset=lambda t, y: y)
        refused(
            r"events\[0\]\.g must have a slope where a reset leads to g = 0: got tensors made in "
            r"torch\.inference_mode; make them outside, or use torch\.no_grad",
            event,
        )
