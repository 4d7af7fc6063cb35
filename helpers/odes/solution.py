"""What `solve` returns: the answers, how each sample ended, what it took, and why it failed."""

from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from itertools import accumulate

import torch
from torch import Tensor

from helpers.odes.arguments import check_times_within
from helpers.odes.controller import near_overflow
from helpers.odes.gradient import follow
from helpers.odes.interpolation import AdjointReport, Dense, Location
from helpers.odes.loop import Occurrences, Several, Stepper, Tally


class Status(IntEnum):
    """How the solution of one sample ended.

    OK
        It reached its last time, or a terminal event.
    STEP_UNDERFLOW
        Its error was too large even with the shortest step that changes t.
    NON_FINITE_FIELD
        Its field was not finite, or its state outgrew the numbers of its dtype.
    STEP_LIMIT
        It needed more than `max_steps` trials.
    EVENT_LIMIT
        An event happened more often than it may, or sooner after the last than its time can tell.
    NON_FINITE_EVENT
        The g of an event was not finite.
    """

    OK = 0
    STEP_UNDERFLOW = 1
    NON_FINITE_FIELD = 2
    STEP_LIMIT = 3
    EVENT_LIMIT = 4
    NON_FINITE_EVENT = 5


@dataclass(frozen=True, eq=False)
class Stats:
    """What each sample's solution took.

    Attributes
    ----------
    accepted, rejected : Tensor (B,), integer
        Steps.
    evaluations : Tensor (B,), integer
        Of the field, for this sample's sake. A batch evaluates it for all samples until the last has arrived.
    """

    accepted: Tensor
    rejected: Tensor
    evaluations: Tensor


@dataclass(frozen=True, eq=False)
class Parts:
    """How states of several tensors (B, ...) become the one (B, D) that is solved for, and are found in it.

    Attributes
    ----------
    keys : tuple, or None
        Of a dict; None stands for a tuple.
    shapes : tuple of torch.Size
        Of each part, without its batch.
    """

    keys: tuple[Hashable, ...] | None
    shapes: tuple[torch.Size, ...]

    def join(self, parts: Several) -> Tensor:
        """The parts (B, ...) side by side, (B, D)."""
        listed = parts if self.keys is None else [parts[key] for key in self.keys]
        return torch.cat([part.reshape(len(part), -1) for part in listed], 1)

    def split(self, y: Tensor) -> Several:
        """The parts (..., *shape) of y (..., D)."""
        ends = accumulate(shape.numel() for shape in self.shapes)
        parts = tuple(
            y[..., end - shape.numel() : end].reshape(*y.shape[:-1], *shape)
            for end, shape in zip(ends, self.shapes, strict=True)
        )
        return parts if self.keys is None else dict(zip(self.keys, parts, strict=True))


def parts_of(y0: Several) -> Parts:
    """The parts that y0 has."""
    keys, parts = (tuple(y0), y0.values()) if isinstance(y0, dict) else (None, y0)
    return Parts(keys, tuple(part.shape[1:] for part in parts))


@dataclass(frozen=True, eq=False)
class Interpolant:
    """The solution at any time from its first to its last; NaN where a sample did not get so far.

    It keeps every step, and the graph of its gradient. With dopri8 it may evaluate the field (as it is then).

    Attributes
    ----------
    first, last : Tensor (B,), float64
        The times solved for.
    dense : Dense
        The solution between the steps.
    one_state : bool
        Whether there is but one sample, and no batch axis.
    parts : Parts, optional
        What the states are made of, where they are no tensors.
    """

    first: Tensor
    last: Tensor
    dense: Dense = field(repr=False)
    one_state: bool = False
    parts: Parts | None = None

    def __call__(self, t: Tensor) -> Tensor | Several:
        """The states (B, T, ...) at times (T,), or (B, T) of each sample its own, in any order.

        Raises
        ------
        ValueError
            If `t` is not a floating-point tensor of that shape and on that device, or leaves the times that
            were solved for.
        """
        clock = check_times_within(t, self.first, self.last)
        times = clock.detach()
        y = self.dense(self.dense.locate(times))
        y = follow(self.dense.stepper.field, y, times, clock) if clock.requires_grad and len(t) else y
        y = y[0] if self.one_state else y
        return y if self.parts is None else self.parts.split(y)


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution of an initial value problem.

    Attributes
    ----------
    t : Tensor (T,) or (B, T)
        Times, as given.
    y : Tensor (B, T, ...), or a tuple or dict of them
        States at these times; the first are the initial states, exactly.
    status : Tensor (B,), integer
        `Status` of each sample.
    stats : Stats
        Steps and evaluations.
    interpolant : Interpolant
        The states at any time between.
    events : Occurrences, optional
        The events that happened, where any were to be looked for.
    adjoint_report : AdjointReport or None
        What the last backward pass took; None before it, and with `gradient="direct"`.
    """

    t: Tensor
    y: Tensor | Several
    status: Tensor
    stats: Stats
    interpolant: Interpolant = field(repr=False)
    events: Occurrences | None = field(default=None, repr=False)

    @property
    def adjoint_report(self) -> AdjointReport | None:
        """What the last backward pass took."""
        return self.interpolant.dense.report

    def __deepcopy__(self, memo: dict) -> "Solution":
        """A copy, of a solution without a graph."""
        times = [] if self.events is None else [self.events.t]
        if self.interpolant.dense.requires_grad or any(each.requires_grad for each in times):
            raise ValueError(
                "a solution with a graph must not be copied, for torch cannot copy the graph: "
                "solve under torch.no_grad(), or copy what you need of it, solution.y.detach().clone()"
            )
        return type(self)(*(deepcopy(getattr(self, part.name), memo) for part in fields(self)))


def only_state(solution: Solution) -> Solution:
    """The solution of a batch of one, without the batch axis."""
    stats = Stats(*(getattr(solution.stats, part.name)[0] for part in fields(Stats)))
    interpolant, events = replace(solution.interpolant, one_state=True), solution.events
    events = events and Occurrences(*(getattr(events, part.name)[0] for part in fields(Occurrences)))
    return Solution(solution.t, solution.y[0], solution.status[0], stats, interpolant, events)


def in_parts(parts: Parts, solution: Solution) -> Solution:
    """The solution as a tuple or dict of tensors (B, T, ...)."""
    interpolant, events = replace(solution.interpolant, parts=parts), solution.events
    events = events and replace(events, before=parts.split(events.before), after=parts.split(events.after))
    return replace(solution, y=parts.split(solution.y), interpolant=interpolant, events=events)


class SolveError(RuntimeError):
    """At least one sample did not reach its last time.

    Attributes
    ----------
    solution : Solution
        Complete for the samples that did; NaN after the failure of those that did not.
    """

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution

    def __reduce__(self) -> tuple:
        """Pickle the solution, too."""
        return type(self), (str(self), self.solution)


def read_solution(t: Tensor, clock: Tensor, trials: Tally, dense: Dense, probes: int) -> Solution:
    """The solution at its times, t as given and (B, T), from the trials and what they led to.

    `probes` counts the evaluations beside the steps.
    """
    times = clock.detach()
    location = dense.locate(times[:, 1:].contiguous())
    y = torch.cat((dense.start[:, None], dense(location)), dim=1)
    return Solution(
        t=t,
        y=follow(dense.stepper.field, y, times, clock) if clock.requires_grad else y,
        status=outcome(trials, dense.end),
        stats=count_steps(trials, dense, location, probes),
        interpolant=Interpolant(times[:, 0].contiguous(), dense.end, dense),
        events=trials.events,
    )


def outcome(trials: Tally, end: Tensor) -> Tensor:
    """The `Status` (B,) of each sample: where the path ended early, an event or its last trial tells why."""
    early = torch.where(trials.last_ratio.isfinite(), Status.STEP_UNDERFLOW, Status.NON_FINITE_FIELD)
    early = torch.where(trials.h != 0, Status.STEP_LIMIT, early)
    early = torch.where(trials.t == end, Status.OK, early)
    return early if trials.by_event is None else torch.where(trials.by_event < 0, early, trials.by_event)


def count_steps(trials: Tally, dense: Dense, location: Location, probes: int) -> Stats:
    """Count steps, and evaluations: for the first step's size, in steps, and for the outputs between them."""
    tableau = dense.stepper.tableau
    evaluations = (probes + _evaluations(dense.stepper, trials.tried)).clamp(min=probes + 1)
    if trials.retaken:
        evaluations = evaluations + _evaluations(dense.stepper, trials.accepted)
    if tableau.dense_a:
        evaluations = evaluations + len(tableau.dense_a) * _steps_with_outputs(location, dense.steps)
    if trials.events is not None:
        evaluations = evaluations + len(tableau.dense_a) * trials.accepted
        evaluations = evaluations + dense.stepper.reuses_slope * trials.events.counts.sum(1)
    return Stats(trials.accepted, trials.tried - trials.accepted, evaluations)


def _evaluations(stepper: Stepper, steps: Tensor) -> Tensor:
    """Of the field in so many steps (B,), the first with its first stage."""
    tableau = stepper.tableau
    return 1 + len(tableau.a) * steps if stepper.reuses_slope else len(tableau.c) * steps


def _steps_with_outputs(location: Location, trials: int) -> Tensor:
    """In how many of a sample's steps (B,) there are output times."""
    outputs = torch.zeros(len(location.trial), trials + 1, dtype=torch.long, device=location.trial.device)
    return outputs.scatter_add(1, location.trial, (location.theta > 0).long()).clamp(max=1).sum(1)


def failure_message(solution: Solution, trials: Tally, adaptive: bool, max_steps: int) -> str:
    """What happened to the first sample that failed, where, and what to try; the others are counted."""
    failed = solution.status.nonzero()[:, 0].tolist()
    sample, others = failed[0], len(failed) - 1
    accepted, rejected = solution.stats.accepted[sample].item(), solution.stats.rejected[sample].item()
    tried, y = trials.last_size[sample].item(), trials.y[sample].detach()
    what, advice = {
        Status.STEP_UNDERFLOW: (f"the step underflowed: it shrank to {tried:.2g}", STIFF + OR_SINGULAR),
        Status.NON_FINITE_FIELD: _not_finite(y, tried),
        Status.STEP_LIMIT: (
            f"max_steps = {max_steps} was reached with steps of {tried:.2g}",
            STIFF + OR_PATIENCE if adaptive else LONGER_STEPS,
        ),
        **_failures_by_event(solution.events, sample, trials.t[sample].item()),
    }[solution.status[sample].item()]
    more = "" if not others else f" ({others} other {'sample' if others == 1 else 'samples'} failed too)"
    size = torch.linalg.vector_norm(y.double()).item()
    return (
        f"sample {sample} failed at t = {trials.t[sample].item():.6g}: {what} "
        f"(state norm {size:.2g}, {accepted} accepted, {rejected} rejected); {advice}{more}"
    )


def _failures_by_event(events: Occurrences | None, sample: int, t: float) -> dict[Status, tuple[str, str]]:
    """What happened and what to try, where a sample failed by an event."""
    e = -1 if events is None else events.failed[sample].item()
    if e < 0:
        return {}
    count, times = events.counts[sample, e].item(), events.t[sample][events.which[sample] == e].tolist()
    gap = f", the last {abs(t - times[-1]):.2g} before" if times else ""
    return {
        Status.EVENT_LIMIT: (f"events[{e}] would happen once more ({count} so far{gap})", CHATTERING),
        Status.NON_FINITE_EVENT: (f"g of events[{e}] is not finite in the next step", SINGULAR_EVENT),
    }


def _not_finite(y: Tensor, tried: float) -> tuple[str, str]:
    """What happened and what to try: the state is too large, or the field is not finite near it."""
    if not y.isfinite().all():
        return "the state after an event is not finite", "check the event's reset"
    if near_overflow(y[None]).item():
        largest = f"{str(y.dtype).removeprefix('torch.')} ends at {torch.finfo(y.dtype).max:.2g}"
        return f"the state outgrew its numbers: {largest}", "check what lets the field grow without bound"
    after = f", nor after a step of {tried:.2g}" if tried else ""
    return f"the field is not finite{after}", SINGULAR


STIFF = "if the system is stiff see chapter 09, otherwise "
OR_SINGULAR = "loosen rtol or check the field for a singularity"
OR_PATIENCE = "raise max_steps or loosen rtol"
LONGER_STEPS = "raise max_steps or allow a longer step"
CHATTERING = "if it chatters, let its reset lead farther from g = 0 or make it terminal, otherwise raise most"
SINGULAR_EVENT = "check it for a singularity, or its parameters for NaN"
SINGULAR = "check the field there for a singularity, or its parameters for NaN"
