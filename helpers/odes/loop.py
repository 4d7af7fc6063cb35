"""The loop, and all that the four parts hand to each other: states, steps, and the path they leave."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.odes.tableau import Tableau

Field = Callable[[Tensor, Tensor], Tensor]
"""f: from times (B,) and states (B, ...) to slopes (B, ...)."""

Several = tuple[Tensor, ...] | dict[Hashable, Tensor]
"""States of several parts, (B, ...) each."""


@dataclass(frozen=True, eq=False)
class State:
    """Where each sample stands between two steps.

    The next step's end is kept and not its size, since t + h, rounded, may miss the last time.

    Attributes
    ----------
    t : Tensor (B,), float64
        Times reached.
    t_next : Tensor (B,), float64
        Where the next step shall end: at t for a sample that has arrived or failed.
    y : Tensor (B, ...)
        States at t.
    slope : Tensor (B, ...) or None
        f(t, y), where the step before has computed it.
    accepted : Tensor (B,), bool
        Whether the last trial was.
    error_ratio : Tensor (B,), float64
        Error of the last trial in units of its tolerance; NaN or inf where it was not finite.
    memory : Tensor (B,), float64
        What the controller remembers of the last accepted trial.
    watched : Watched, optional
        What became of the events that are looked for.
    """

    t: Tensor
    t_next: Tensor
    y: Tensor
    slope: Tensor | None
    accepted: Tensor
    error_ratio: Tensor
    memory: Tensor
    watched: "Watched | None" = None

    @property
    def h(self) -> Tensor:
        """The signed size of the next step (B,); 0 keeps a sample where it is."""
        return self.t_next - self.t

    @property
    def goes_on(self) -> Tensor:
        """Which samples (B,) have neither arrived nor failed."""
        return self.t_next != self.t


def initial_state(t: Tensor, t_next: Tensor, y: Tensor, slope: Tensor | None) -> State:
    """The state before the first step."""
    ones = torch.ones_like(t)
    return State(t, t_next, y, slope, accepted=ones.bool(), error_ratio=ones, memory=0 * ones)


@dataclass(frozen=True, eq=False)
class Step:
    """What one step of every sample leads to.

    Attributes
    ----------
    y : Tensor (B, ...)
        y₁, the state at its end.
    slope : Tensor (B, ...) or None
        f(t₁, y₁) where the method computes it: the next step's first stage.
    increments : tuple of Tensor (B, ...)
        h k_i, one for each stage.
    errors : tuple of Tensor (B, ...)
        The method's estimates of the error of y₁.
    """

    y: Tensor
    slope: Tensor | None
    increments: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Watched:
    """What became of E events after a trial, and those that happened in it, one at most in each sample.

    Attributes
    ----------
    side : Tensor (E, B)
        1 or -1, the sign that each event's g has left last.
    counts : Tensor (E, B), integer
        How often each has happened.
    status : Tensor (B,), integer
        How an event ended the solution of a sample; -1 where none did.
    which : Tensor (B,), integer
        The event that happened in this trial, or by which the sample failed; -1 where none did.
    sign : Tensor (B,)
        That of its g right after.
    t : Tensor (B,), float64, optional
        When: where this trial ended, as a function of all that it depends on.
    before, after : Tensor (B, ...), optional
        The states there.
    """

    side: Tensor
    counts: Tensor
    status: Tensor
    which: Tensor
    sign: Tensor
    t: Tensor | None = None
    before: Tensor | None = None
    after: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Path:
    """Every trial of the loop; not every sample took part in each, nor was it accepted for all that did.

    Attributes
    ----------
    t, t_next : list of N + 1 Tensor (B,), float64
        Where trial n starts and shall end; the last are where the path ends.
    y : list of N + 1 Tensor (B, ...)
        States from which it starts; the last is where the path ends.
    increments : list of N tuples of Tensor (B, ...)
        h k_i of each stage.
    error_ratio : list of N Tensor (B,), float64
        Errors in units of their tolerance.
    watched : list of N + 1 Watched
        Their events; empty where none are looked for. A trial in which one happened ended at its time, before
        `t_next`.
    """

    t: list[Tensor] = field(default_factory=list)
    t_next: list[Tensor] = field(default_factory=list)
    y: list[Tensor] = field(default_factory=list)
    increments: list[tuple[Tensor, ...]] = field(default_factory=list)
    error_ratio: list[Tensor] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)

    def begin(self, state: State) -> None:
        """Add where the next trial starts, or the path ends."""
        self.t.append(state.t)
        self.t_next.append(state.t_next)
        self.y.append(state.y)
        if state.watched is not None:
            self.watched.append(state.watched)

    def append(self, step: Step, state: State) -> None:
        """Add a trial and the state after it."""
        self.increments.append(step.increments)
        self.error_ratio.append(state.error_ratio)
        self.begin(state)

    @property
    def trials(self) -> int:
        """N."""
        return len(self.increments)

    def times(self) -> Tensor:
        """t (B, N + 1)."""
        return torch.stack(self.t, dim=1)

    def step_sizes(self) -> Tensor:
        """h (B, N + 1), 0 for samples that had arrived or failed; the last were not tried."""
        return torch.stack(self.t_next, dim=1) - self.times()

    def error_ratios(self) -> Tensor:
        """r (B, N)."""
        nothing = self.t[0].new_empty(len(self.t[0]), 0)
        return torch.stack(self.error_ratio, dim=1) if self.error_ratio else nothing

    def tried(self) -> Tensor:
        """Which samples (B, N) took part in each trial."""
        return self.step_sizes()[:, :-1] != 0

    def accepted(self) -> Tensor:
        """Which samples (B, N) each trial led on."""
        return self.times().diff(dim=1) != 0

    def tally(self) -> "Tally":
        """What is told of the trials when they are over; a sample's trials are the first ones."""
        sizes, tried = self.step_sizes(), self.tried().sum(1)
        last = tried[:, None]
        return Tally(
            t=self.t[-1],
            h=sizes[:, -1],
            y=self.y[-1],
            tried=tried,
            accepted=self.accepted().sum(1),
            last_ratio=pad(self.error_ratios(), (1, 0), value=torch.nan).gather(1, last)[:, 0],
            last_size=pad(sizes[:, :-1].abs(), (1, 0)).gather(1, last)[:, 0],
        )


@dataclass(frozen=True, eq=False)
class Occurrences:
    """The events that happened, of each sample its own in the order of time, K at most; the rest is padding.

    Attributes
    ----------
    t : Tensor (B, K), float64
        When; NaN in padding.
    before, after : Tensor (B, K, ...), or a tuple or dict of them
        The states at the end of the solution before it and at the start of that after it; NaN in padding.
    which : Tensor (B, K), integer
        Which event, counted from 0; -1 in padding.
    sign : Tensor (B, K), integer
        1 where its g rose through zero, -1 where it fell; 0 in padding.
    counts : Tensor (B, E), integer
        How often each.
    failed : Tensor (B,), integer
        The event by which a sample failed; -1 where none did.
    """

    t: Tensor
    before: Tensor | Several
    after: Tensor | Several
    which: Tensor
    sign: Tensor
    counts: Tensor
    failed: Tensor


@dataclass(frozen=True, eq=False)
class Tally:
    """What is told of the trials when they are over.

    Attributes
    ----------
    t, h : Tensor (B,), float64
        Where each sample got, and the step that it would take next; 0 if it arrived or failed.
    y : Tensor (B, ...)
        Its state there.
    tried, accepted : Tensor (B,), integer
        Trials that it took part in, and those that led it on.
    last_ratio, last_size : Tensor (B,), float64
        Error, in units of its tolerance, and length of its last trial; NaN and 0 without any.
    retaken : bool
        Whether the accepted steps were taken a second time.
    events : Occurrences, optional
        The events that happened.
    by_event : Tensor (B,), integer, optional
        How an event ended the solution of a sample; -1 where none did.
    """

    t: Tensor
    h: Tensor
    y: Tensor
    tried: Tensor
    accepted: Tensor
    last_ratio: Tensor
    last_size: Tensor
    retaken: bool = False
    events: Occurrences | None = None
    by_event: Tensor | None = None

    def followed_by(self, later: "Tally") -> "Tally":
        """Of both, one after the other."""
        tried_later = later.tried > 0
        return replace(
            later,
            tried=self.tried + later.tried,
            accepted=self.accepted + later.accepted,
            last_ratio=torch.where(tried_later, later.last_ratio, self.last_ratio),
            last_size=torch.where(tried_later, later.last_size, self.last_size),
        )


class Stepper(Protocol):
    """From a state to one step of every sample."""

    field: Field
    tableau: Tableau
    compiled: bool
    reuses_slope: bool
    """Whether the last slope of a step is the first of the next."""

    def __call__(self, state: State) -> Step:
        """Try one step of every sample from where it stands."""
        ...

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """What the dense output needs of a step beyond its increments."""
        ...


class Controller(Protocol):
    """From a state and the step of a trial to the next state; the first trial is 0."""

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """Accept or reject the step, and say where the next shall end."""
        ...

    def steps_left(self, state: State, trial: int) -> float:
        """How many steps the samples still need, about; 0 when none goes on."""
        ...


LONGEST_POLL_INTERVAL, POLLS_TO_THE_END = 8, 4


def integrate(
    stepper: Stepper, control: Controller, state: State, max_steps: int, path: Path | None = None
) -> Path:
    """Try steps until every sample has arrived or failed, but no more than `max_steps`.

    They are added to `path`, a new one if none is given; what has its `begin` and `append` will do.

    Asking whether any sample goes on makes the host wait for the device. It does so after a quarter of the
    steps that are left at their present size, after eight at most: before each step close to the end, so that
    hardly a step is taken in vain.
    """
    path = Path() if path is None else path
    path.begin(state)
    next_poll = 0
    for trial in range(max_steps):
        if trial == next_poll:
            left = control.steps_left(state, trial)
            if not left:
                break
            next_poll += min(max(int(left) // POLLS_TO_THE_END, 1), LONGEST_POLL_INTERVAL)
        step = stepper(state)
        state = control(state, step, trial)
        path.append(step, state)
    return path


def unsqueeze_like(numbers: Tensor, y: Tensor) -> Tensor:
    """One number of each sample (B,) with as many axes as states y (B, ...), so that they broadcast."""
    return numbers.reshape(-1, *[1] * (y.ndim - 1))
