"""Events: where a function g(t, y) of the solution passes through zero, and what happens there.

`Watch` is a controller around the controller. Along each step that is accepted it looks at g; where g changes
its sign it finds the root on the dense output and ends the step there, and the sample stops or goes on from
another state. Nothing else of the loop knows of it.

The time t* of an event is a function of all that the solution depends on, and so is the state after it ::

    g(t*, y⁻) = 0,   y⁺ = reset(t*, y⁻),   dt* = −dg / ġ,   ġ = ∂g/∂t + ∂g/∂y f(t*, y⁻)

where dg is the change of g at the constant time t*. `pass_through` writes this as steps of length 0, whose
values change nothing and whose derivatives are these.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from helpers.arguments import check_one_of, check_returns_like, check_whole_number, kind, refuse_where
from helpers.odes.arguments import check_returns_parts
from helpers.odes.controller import EPSILON
from helpers.odes.gradient import Wanted, direct, needs_replay
from helpers.odes.interpolation import Dense, DenseOutput, dense_weights
from helpers.odes.loop import (
    Controller,
    Field,
    Occurrences,
    Path,
    Several,
    State,
    Step,
    Stepper,
    Tally,
    Watched,
    integrate,
    unsqueeze_like,
)
from helpers.odes.pieces import Pieces, TimesOnly
from helpers.odes.solution import Parts, Status
from helpers.odes.stepper import combination, first_slope, take_step
from helpers.odes.tableau import MIDPOINT, Row, Tableau

DIRECTIONS = {"rising": 1, "falling": -1, "both": 0}

LOOKS = 4
"""In so many equal parts of a step it is seen whether g has changed its sign."""

RESOLUTION = 4
"""Units in the last place, of the time and of a fraction of the step, within which a root is found."""

ROUND_OFF = 8
"""A state lies on g = 0 where |g| is at most so many units in the last place of what it was in the step."""


@dataclass(frozen=True, eq=False)
class Event:
    """What happens where g(t, y) passes through zero.

    Without `terminal` and `reset` it is only recorded. One event at a time happens to a sample: of several
    that come together the first given comes first, the next right after it. A reset that leads across
    another event's zero is not that event. The sign of g is looked at four times in each step: where it
    changes twice between two looks, nothing is seen, and a smaller `max_step` shows more. Where g jumps
    across zero there is an event, too, but no gradient of its time.

    Parameters
    ----------
    g : callable
        From times (B,) and states (B, ...), as f gets them, to numbers (B,).
    direction : str
        `rising` or `falling`, as the solution is followed, or `both`.
    terminal : bool
        Whether the sample's solution ends there; later outputs are NaN.
    reset : callable, optional
        From times (B,) and states (B, ...) to the states (B, ...) from which the solution goes on. In the
        place of samples without the event it gets the time and state of one that has it.
    most : int
        How often it may happen to a sample. One to which it would happen once more has failed.
    """

    g: Callable[[Tensor, Tensor | Several], Tensor]
    direction: str = "both"
    terminal: bool = False
    reset: Callable[[Tensor, Tensor | Several], Tensor | Several] | None = None
    most: int = 1000


def check_events(events: Event | Sequence[Event] | None) -> "Events | None":
    """Refuse anything but an event, or a tuple or list of them; None where there is none."""
    listed = [events] if isinstance(events, Event) else [] if events is None else events
    if not isinstance(listed, tuple | list):
        raise ValueError(f"events must be an Event, or a list of them: got {kind(listed)}")
    for e, event in enumerate(listed):
        name = f"events[{e}]"
        if not isinstance(event, Event):
            raise ValueError(f"{name} must be an Event: got {kind(event)}")
        for part, function in (("g", event.g), ("reset", event.reset)):
            if not callable(function) and not (part == "reset" and function is None):
                raise ValueError(f"{name}.{part} must be a function of t and y: got {kind(function)}")
        check_one_of(f"{name}.direction", event.direction, DIRECTIONS)
        check_whole_number(f"{name}.most", event.most)
        if event.terminal and event.reset is not None:
            raise ValueError(f"{name} must not have a reset if it is terminal: got both")
    return Events(tuple(listed)) if listed else None


@dataclass(frozen=True, eq=False)
class Events:
    """The E events of a solution, as functions of times (B,) and states (B, ...).

    Parameters
    ----------
    events : tuple of Event
        As they were given.
    one_state : bool
        Whether their functions know no batch.
    parts : Parts, optional
        What the states are to their functions, where these are no tensors.
    """

    events: tuple[Event, ...]
    one_state: bool = False
    parts: Parts | None = None

    def given(self, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor | Several]:
        """What the functions get. They may write into it, as a field may."""
        t, y = t.to(y.dtype, copy=True), y.clone()
        if self.one_state:
            return t[0], y[0]
        return t, y if self.parts is None else self.parts.split(y)

    def g(self, e: int, t: Tensor, y: Tensor) -> Tensor:
        """g of one event (B,)."""
        number = self.events[e].g(*self.given(t, y))
        return number[None] if self.one_state else number

    def reset(self, e: int, t: Tensor, y: Tensor) -> Tensor:
        """The states (B, ...) after one event."""
        t, y = self.given(t, y)
        after, name = self.events[e].reset(t, y), f"events[{e}].reset"
        if self.parts is not None:
            check_returns_parts(name, after, y, t)
            return self.parts.join(after)
        check_returns_like(name, after, "y", y)
        return after[None] if self.one_state else after.clone()

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """g of all events (E, B)."""
        return torch.stack([self.g(e, t, y) for e in range(len(self.events))])

    def numbers(self, of: Callable[[Event], int], device: torch.device) -> Tensor:
        """A number of each event (E, 1)."""
        return torch.tensor([[of(event)] for event in self.events], device=device)

    def along(self, way: Callable) -> Callable:
        """A way to differentiate, of `solve`, as one that heeds the events."""
        return partial(self.integrate, way)

    def integrate(
        self,
        way: Callable,
        stepper: Stepper,
        control: Controller,
        state: State,
        end: Tensor,
        max_steps: int,
        wanted: Wanted,
    ) -> tuple[Tally, Dense]:
        """What `way` returns of a solution with events.

        `direct` differentiates the loop, events and all. Another way differentiates the pieces of the
        solution between two events, which are then solved for once more, one after the other.
        """
        watch = Watch(self, control, stepper)
        state, graph = replace(state, watched=self.first_look(state, end)), torch.is_grad_enabled()
        if way is direct or not graph:
            path = integrate(stepper, watch, state, max_steps)
            if not (path.trials and path.y[-1].requires_grad and needs_replay(path, end)):
                return tally(path, path.watched), DenseOutput(stepper, path, end)
        with torch.no_grad():
            path = integrate(stepper, watch, state, max_steps, TimesOnly())
        found, pieces = tally(path, path.watched), Pieces(way, stepper, control, end, max_steps, wanted)
        watched = pieces.solve(state, path.t[-1], found.events, watch.pass_through)
        return replace(tally(path, watched), retaken=True), pieces

    @torch.no_grad()
    def first_look(self, state: State, end: Tensor) -> Watched:
        """On which side of zero each sample starts; refuse what is no side, where a sample goes anywhere."""
        t, y = state.t, state.y
        for e, event in enumerate(self.events):
            given = self.given(t, y)
            check_returns_like(f"events[{e}].g", event.g(*given), "t", given[0].clone())
        values = self(t, y)

        def message(expected: str) -> Callable[[int, int], str]:
            return lambda e, b: (
                f"events[{e}].g must {expected} at the start: got {values[e, b].item():g} "
                f"in sample {b}, at t = {t[b].item():g}"
            )

        refuse_where((t != end) & ~values.isfinite(), message("be finite"))
        refuse_where((t != end) & (values == 0), message("not be zero"))
        none = torch.full(t.shape, -1, device=t.device)
        return Watched(values.sign(), torch.zeros_like(values, dtype=torch.long), none, none, none)


@dataclass(frozen=True, eq=False)
class Within:
    """The solution within one step of every sample: what it is at fractions θ (B,) of the step."""

    tableau: Tableau
    t: Tensor
    t_next: Tensor
    y: Tensor
    increments: tuple[Tensor, ...]
    y_next: Tensor

    def time(self, theta: Tensor) -> Tensor:
        """t + θ h (B,)."""
        return torch.lerp(self.t, self.t_next, theta)

    def dense(self) -> Callable[[Tensor], Tensor]:
        """The dense output from θ (B,) to y(t + θ h) (B, ...), as a polynomial: cheap when asked often.

        Its arithmetic is of each entry alone, so that a sample's events do not depend on its batch.
        """
        columns = zip(*self.tableau.dense, strict=True)  # P_ij for each power j of θ
        coefficients = [combination(column, self.increments, 0 * self.y) for column in columns]

        def state(theta: Tensor) -> Tensor:
            theta, total = unsqueeze_like(theta, self.y).to(self.y.dtype), 0.0
            for coefficient in reversed(coefficients):
                total = theta * (coefficient + total)
            return self.y + total

        return state

    def looks(self) -> list[tuple[Tensor, Tensor]]:
        """Times (B,) and states (B, ...) at the ends of M equal parts."""
        inside = [combination(row, self.increments, self.y) for row in weights_of_looks(self.tableau)]
        times = [torch.lerp(self.t, self.t_next, k / LOOKS) for k in range(1, LOOKS)]
        return [*zip(times, inside, strict=True), (self.t_next, self.y_next)]


@cache
def weights_of_looks(tableau: Tableau) -> list[Row]:
    """b_i(θ) at the looks within a step."""
    return dense_weights(tableau, torch.arange(1, LOOKS, dtype=torch.float64) / LOOKS).T.tolist()


@dataclass(frozen=True, eq=False)
class Found:
    """What a look along one step found.

    Attributes
    ----------
    short : Tensor (B,), bool
        Which samples get no further in it than `theta`.
    theta : Tensor (B,), float64
        The fraction of the step: where the first event is, 0 if a g is not finite, and 1 in the others.
    by : Tensor (B,), integer
        The event by which it ends, happening or failing; -1 where none.
    status : Tensor (B,), integer
        The `Status` with which a sample ends there; -1 where it does not.
    side : Tensor (E, B)
        The sign that each g has left last.
    together : Tensor (E, B), bool
        Which events come at the same time, but later in the list.
    noise : Tensor (E, B)
        What each |g| may be there by round-off alone.
    """

    short: Tensor
    theta: Tensor
    by: Tensor
    status: Tensor
    side: Tensor
    together: Tensor
    noise: Tensor

    @property
    def which(self) -> Tensor:
        """The event (B,) that happens; -1 where none does."""
        return torch.where(self.status > Status.OK, -1, self.by)

    @property
    def sign(self) -> Tensor:
        """That of its g right after (B,)."""
        return _own(self.side, self.by)


@dataclass(frozen=True, eq=False)
class Passage:
    """An event of each sample: its time (B,), the states (B, ...) before and after, and where it goes on.

    The last, `y`, is the state after it carried back to the time at which the loop cut the step, a constant:
    of the same value, but another function of what the solution depends on.
    """

    t: Tensor
    before: Tensor
    after: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Watch:
    """A controller that looks for events in every step that another controller accepts.

    Looking makes the host wait for the device, once a step.
    """

    events: Events
    control: Controller
    stepper: Stepper

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this trial: where its first event leads a sample, if there was one."""
        after = self.control(state, step, trial)
        within = self.within(state, step)
        found = self.find(state.watched, within, after.t != state.t)
        if found is None:
            after = replace(after, watched=_nothing(state.watched))
        else:
            after = self.stop(state, after, within, found)
        t_next = self.control.resume(after, None if found is None else found.short, state.h)
        return replace(after, t_next=torch.where(after.watched.status < 0, t_next, after.t))

    def steps_left(self, state: State, trial: int) -> float:
        """1 while any sample goes on."""
        return float(state.goes_on.any())

    def within(self, state: State, step: Step) -> Within:
        """The solution within the step that was tried."""
        tableau, increments = self.stepper.tableau, step.increments
        if tableau.dense_a:
            increments += self.stepper.dense_stages(state.t, state.y, state.h, increments)
        return Within(tableau, state.t, state.t_next, state.y, increments, step.y)

    # Where events are.

    @torch.no_grad()
    def find(self, watched: Watched, within: Within, moved: Tensor) -> Found | None:
        """The first event of each sample that has moved; None if no g has changed its sign."""
        values = torch.stack([self.events(t, y) for t, y in within.looks()])  # (M, E, B)
        bad = moved & ~values.isfinite()
        if (~moved | ~bad & (watched.side * values > 0)).all():
            return None
        direction = self.events.numbers(lambda event: DIRECTIONS[event.direction], moved.device)
        sides, wanted = changes(watched.side, values, direction)
        looks, state = first_true(wanted & moved), within.dense()
        roots = torch.stack([self.root(e, within, state, sides[:, e], look) for e, look in enumerate(looks)])
        theta, by = roots.min(0)
        failed = bad.any(1).any(0) & (LOOKS * theta > first_true(bad.any(1)) + 1)
        by = torch.where(failed, bad.any(0).int().argmax(0), torch.where(theta.isfinite(), by, -1))
        status = self.status(watched, by, failed, self.chatters(within, watched.side, roots))
        theta = torch.where(failed, 0.0, theta).clamp(max=1.0)
        at = self.events(within.time(theta), state(theta))
        own = torch.arange(len(at), device=by.device)[:, None] == by
        together = ~own & (roots - theta <= RESOLUTION * resolution(within))
        before = sides.gather(0, last_look(theta).expand(1, *at.shape))[0]
        crossed = own | (before * at <= 0) & (direction == before)  # or as is not wanted
        last = torch.where(moved, sides[-1], watched.side)
        side = torch.where(by >= 0, torch.where(crossed, -before, before), last)
        noise = round_off(values, torch.where(own | together, at, 0.0))
        return Found(by >= 0, theta, by, status, side, together, noise)

    def root(self, e: int, within: Within, state: Callable, sides: Tensor, look: Tensor) -> Tensor:
        """Where g first changes its sign (B,), as a fraction of the step; ∞ where it does not."""
        changes = look < LOOKS
        if not changes.any():
            return torch.full_like(within.t, torch.inf)
        side = sides.gather(0, look[None])[0]
        low = torch.where(changes, look, 0).double() / LOOKS

        def value(theta: Tensor) -> Tensor:
            return (side * self.events.g(e, within.time(theta), state(theta))).double()

        high = torch.where(changes, low + 1 / LOOKS, low)
        root = first_root(value, low, high, resolution(within))
        return torch.where(changes, root, torch.inf)

    def status(self, watched: Watched, by: Tensor, failed: Tensor, chatters: Tensor) -> Tensor:
        """How the solution of a sample ends (B,) with what was found; -1 where it does not."""
        most = self.events.numbers(lambda event: event.most, by.device)
        ends = self.events.numbers(lambda event: Status.OK if event.terminal else -1, by.device)
        ends = torch.where(chatters | (watched.counts >= most), Status.EVENT_LIMIT, ends)  # (E, B)
        status = torch.where(by >= 0, _own(ends, by), watched.status)
        return torch.where(failed, Status.NON_FINITE_EVENT, status)

    def chatters(self, within: Within, side: Tensor, roots: Tensor) -> Tensor:
        """Which events (E, B) come again at once, though g leaves zero: sooner than time can tell."""
        at_once = (roots < 1) & (roots <= resolution(within))
        if not at_once.any():
            return at_once
        return at_once & (self.rates(within.t, within.y) * (within.t_next - within.t) * side > 0)

    # What happens there.

    def stop(self, state: State, after: State, within: Within, found: Found) -> State:
        """The state after a trial in which an event was found, or only a sign that changed."""
        which, short = found.which, found.short
        t, way = within.time(found.theta), found.sign * state.h
        passage = self.pass_through(t, within.dense()(found.theta), which, way)
        t, y, slope = torch.where(short, t, after.t), choose(short, passage.y, after.y), after.slope
        if self.stepper.reuses_slope and short.any():
            start = stand_in(short, t), stand_in(short, y)
            slope = choose(short, first_slope(self.stepper.field, *start), slope)
        counts = state.watched.counts.scatter_add(0, found.by.clamp(min=0)[None], (which >= 0).long()[None])
        marks = (self.side_after(found, t, y, state.h), counts, found.status, found.by, found.sign)
        watched = Watched(*marks, passage.t, passage.before, passage.after)
        return replace(after, t=t, y=y, slope=slope, watched=watched)

    def pass_through(self, t: Tensor, y: Tensor, which: Tensor, way: Tensor) -> Passage:
        """The event of each sample at t (B,), whose g has then the sign `way` in time; or nothing."""
        passage = (t, y, y, y)
        for e in range(len(self.events.events)):
            own = which == e
            if own.any():
                new = self.pass_one(e, stand_in(own, t), stand_in(own, y), own, way)
                passage = [choose(own, *each) for each in zip(new, passage, strict=True)]
        return Passage(*passage)

    def pass_one(self, e: int, t: Tensor, y: Tensor, own: Tensor, way: Tensor) -> tuple[Tensor, ...]:
        """Time, states before and after, and where the solution goes on, of one event at t (B,)."""
        field = self.stepper.field
        moment = self.moment(e, t, y, own, way)
        before = carry(field, y, t, moment)
        if self.events.events[e].reset is None:
            return moment, before, before, y
        after = self.events.reset(e, moment, before)
        return moment, before, after, carry(field, after, moment, t)

    def moment(self, e: int, t: Tensor, y: Tensor, own: Tensor, way: Tensor) -> Tensor:
        """The time t of an event as a function of all that g(t, y(t)) depends on.

        Newton's steps with a constant slope ::

            t* ← t* − g(t*, y(t*)) / ġ

        do not change the time, but each adds an order of its derivatives: two, for gradients of gradients.
        """
        if not (torch.is_grad_enabled() and self.events.g(e, t, y).requires_grad):
            return t
        rate = self.rate(e, t, y)
        grazing = own & ~(rate * way > 0)
        rate = torch.where(own & ~grazing, rate, 1.0)
        moment = t
        for _ in range(2):
            g = self.events.g(e, moment, carry(self.stepper.field, y, t, moment))
            moment = moment - (g - g.detach()) / rate
        if grazing.any():
            moment.register_hook(partial(refuse_grazing, e, t, grazing))
        return moment

    def rate(self, e: int, t: Tensor, y: Tensor) -> Tensor:
        """ġ = ∂g/∂t + ∂g/∂y f(t, y) (B,), a constant."""
        with torch.no_grad():
            slope = first_slope(self.stepper.field, t, y)
        with torch.inference_mode(False), torch.enable_grad():
            t, y = (each.detach().clone().requires_grad_() for each in (t, y))
            with refuse_inference_tensors(e):
                g = self.events.g(e, t, y)
            if not g.requires_grad:
                return torch.zeros_like(g)
            by_t, by_y = torch.autograd.grad(g.sum(), (t, y), allow_unused=True, materialize_grads=True)
        return by_t + (by_y * slope).flatten(1).sum(1)

    def rates(self, t: Tensor, y: Tensor) -> Tensor:
        """ġ of all events (E, B)."""
        return torch.stack([self.rate(e, t, y) for e in range(len(self.events.events))])

    @torch.no_grad()
    def side_after(self, found: Found, t: Tensor, y: Tensor, h: Tensor) -> Tensor:
        """On which side of zero each g (E, B) is after a reset.

        From a state that lies on g = 0, as that of a ball that bounces, to the side to which it moves.
        """
        resets = self.events.numbers(lambda event: int(event.reset is not None), t.device)
        reset = (found.which >= 0) & (_own(resets, found.by) > 0)
        if not reset.any():
            return found.side
        g = self.events(t, y)
        at_zero = reset & (g.abs() <= found.noise)
        side = torch.where(reset & ~at_zero, g.sign(), found.side)
        if not at_zero.any():
            return side
        turns = (h * self.rates(t, y)).sign()
        return torch.where(at_zero & ~found.together & (turns != 0), turns.to(y.dtype), side)


def tally(path: Path, watched: list[Watched]) -> Tally:
    """What is told of the trials on a path, and of the events in them, or as they were solved for again."""
    last, first = path.watched[-1], path.watched[0]
    rows = [each for each in watched if each.t is not None]
    which = torch.stack([first.which, *(row.which for row in rows)], 1)  # (B, N), of the start nothing
    status = torch.stack([first.which, *(row.status for row in rows)], 1)
    happened = (which >= 0) & (status <= Status.OK)
    order = (~happened).int().sort(dim=1, stable=True).indices[:, : int(happened.sum(1).max())]

    def listed(entries: list[Tensor], padding: float) -> Tensor:
        values = torch.stack(entries, 1)[torch.arange(len(order), device=order.device)[:, None], order]
        there = happened.gather(1, order)
        return values.masked_fill(~there.reshape(*there.shape, *[1] * (values.ndim - 2)), padding)

    events = Occurrences(
        t=listed([path.t[0], *(row.t for row in rows)], torch.nan),
        before=listed([path.y[0], *(row.before for row in rows)], torch.nan),
        after=listed([path.y[0], *(row.after for row in rows)], torch.nan),
        which=listed([first.which, *(row.which for row in rows)], -1),
        sign=listed([first.which, *(row.sign.long() for row in rows)], 0),
        counts=last.counts.T.contiguous(),
        failed=torch.stack([_failed_by(each) for each in path.watched]).amax(0),
    )
    return replace(path.tally(), events=events, by_event=last.status)


def _failed_by(watched: Watched) -> Tensor:
    """The event (B,) by which a sample failed in this trial; -1 where none did."""
    return torch.where(watched.status > Status.OK, watched.which, -1)


def _nothing(watched: Watched) -> Watched:
    """The same after a trial in which nothing happened."""
    if watched.t is None:
        return watched
    none = torch.full_like(watched.which, -1)
    return Watched(watched.side, watched.counts, watched.status, none, none)


def _own(numbers: Tensor, which: Tensor) -> Tensor:
    """Of numbers (E, B) or (E, 1) that of each sample's own event (B,); any where it has none."""
    return numbers.expand(-1, len(which)).gather(0, which.clamp(min=0)[None])[0]


def changes(side: Tensor, values: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Before and after each look the sign (M + 1, E, B) that g has left last, and where it changes as wanted.

    From the sign (E, B) before and the values (M, E, B) at the looks. A g that is zero has changed.
    """
    sides, wanted = [side], []
    for value in values:
        across = side * value <= 0
        side = torch.where(across, -side, side)
        sides.append(side)
        wanted.append(across & ((direction == 0) | (direction == side)))
    return torch.stack(sides), torch.stack(wanted)


def first_true(mask: Tensor) -> Tensor:
    """The first index at which a mask (M, ...) is True; M where it never is."""
    return torch.where(mask.any(0), mask.int().argmax(0), len(mask))


def last_look(theta: Tensor) -> Tensor:
    """The look, counted from 0 at the start of the step, before the fraction θ of it."""
    return (theta * LOOKS).ceil().long().sub(1).clamp(min=0)


def resolution(within: Within) -> Tensor:
    """How exactly a root can be found (B,), as a fraction of the step."""
    t = torch.maximum(within.t.abs(), within.t_next.abs())
    return RESOLUTION * (EPSILON * t / (within.t_next - within.t).abs() + torch.finfo(within.y.dtype).eps)


def round_off(values: Tensor, at: Tensor) -> Tensor:
    """What |g| (E, B) may be by round-off alone, from its values (M, E, B) in the step and at the event."""
    return ROUND_OFF * (at.abs() + torch.finfo(at.dtype).eps * values.abs().amax(0))


def first_root(g: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, resolution: Tensor) -> Tensor:
    """Just after a root of g (B,) between `low`, where it is positive, and `high`, where it is not.

    The ITP method: interpolate (the secant), truncate (towards the middle), project (so close to the middle
    that no more than one halving of the bracket is ever lost).

    Source: Oliveira and Takahashi (2021), An enhancement of the bisection method average performance
    preserving minmax optimality, ACM Transactions on Mathematical Software 47, algorithm 1 with κ₁ = 0.2 / (b
    − a), κ₂ = 2 and n₀ = 1.
    """
    at_low, at_high = g(low).clamp(min=0), g(high)
    kappa = 0.2 / (high - low)
    halvings = ((high - low) / (2 * resolution)).log2().ceil().clamp(min=0)
    for trial in range(int(halvings.max()) + 2):
        width = high - low
        wide = (width > 2 * resolution) & (at_high != 0)
        if not wide.any():
            break
        middle = (low + high) / 2
        secant = (at_low * high - at_high * low) / (at_low - at_high)
        secant = torch.where((at_low > 0) & secant.isfinite(), secant, middle)
        step = torch.minimum(kappa * width.square(), (middle - secant).abs())
        nearer = secant + torch.copysign(step, middle - secant)
        radius = (resolution * 2 ** (halvings + 1 - trial) - width / 2).clamp(min=0)
        theta = middle + torch.maximum(torch.minimum(nearer - middle, radius), -radius)
        value = g(torch.where(wide, theta, high))
        ahead, behind = wide & (value > 0), wide & ~(value > 0)
        low, at_low = torch.where(ahead, theta, low), torch.where(ahead, value, at_low)
        high, at_high = torch.where(behind, theta, high), torch.where(behind, value, at_high)
    return torch.maximum(high, resolution)


def carry(field: Field, y: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """States (B, ...) at `begin` (B,) carried on to `end`, which is the same time: a function of both.

    A step of length 0 does not change them, but has their derivatives by the times, up to the second.
    """
    return y if end is begin else take_step(field, MIDPOINT, begin, y, end - begin, None).y


def choose(mask: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """One or the other, by sample."""
    return torch.where(unsqueeze_like(mask, other), chosen, other)


def stand_in(mask: Tensor, values: Tensor) -> Tensor:
    """What the chosen samples have, and for each other what the first of these has."""
    return choose(mask, values, values[mask.int().argmax()].detach()[None])


@contextmanager
def refuse_inference_tensors(e: int) -> Iterator[None]:
    """Refuse a g that is made of tensors of which autograd must not know, where its slope is asked for."""
    try:
        yield
    except RuntimeError as error:
        if "Inference tensors" not in str(error):
            raise
        raise ValueError(
            f"events[{e}].g must have a slope where a reset leads to g = 0: got tensors made in "
            "torch.inference_mode; make them outside, or use torch.no_grad"
        ) from None


def refuse_grazing(e: int, t: Tensor, grazing: Tensor, gradient: Tensor) -> None:
    """Refuse to go back through the time of an event at which g has no slope."""
    refuse_where(
        grazing & (gradient != 0),
        lambda b: (
            f"events[{e}].g must pass through zero with a slope for gradients, that of its time being "
            f"-dg / (dg/dt): got dg/dt = 0, or of the wrong sign, in sample {b} at t = {t[b].item():g}"
        ),
    )
