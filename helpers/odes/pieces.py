"""A solution with events in pieces, from one event of each sample to its next.

Where the events are is known from a first pass. Between two of them nothing happens, so that every way to
differentiate serves as it is, and autograd goes through the events from piece to piece. The pieces are solved
for anew, with steps of their own: their answers are those of the first pass to the tolerance, not to the bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.odes.controller import FixedGrid, direction, insert_breaks
from helpers.odes.gradient import Wanted
from helpers.odes.interpolation import AdjointReport, Dense, Location
from helpers.odes.loop import Controller, Occurrences, Path, State, Step, Stepper, Watched, initial_state
from helpers.odes.stepper import first_slope


@dataclass(frozen=True, eq=False)
class TimesOnly(Path):
    """A path that forgets its stages, and all states but the last."""

    def begin(self, state: State) -> None:
        """Add where the next trial starts, or the path ends."""
        super().begin(state)
        del self.y[:-1]

    def append(self, step: Step, state: State) -> None:
        """Add a trial and the state after it."""
        super().append(replace(step, increments=()), state)


@dataclass(frozen=True, eq=False)
class Placed(Location):
    """Where times (B, T) lie, and they themselves."""

    t: Tensor


class Pieces:
    """The solution at any time, in P pieces of each sample.

    Parameters
    ----------
    way : callable
        The way to differentiate.
    stepper : Stepper
        Field and method.
    control : Controller
        Of the first pass.
    end : Tensor (B,), float64
        The times that were to be reached.
    max_steps : int
        Of each piece.
    wanted : Wanted
        What the way has to know.
    """

    requires_grad = True

    def __init__(
        self,
        way: Callable,
        stepper: Stepper,
        control: Controller,
        end: Tensor,
        max_steps: int,
        wanted: Wanted,
    ) -> None:
        self.way, self.stepper, self.control, self.end = way, stepper, control, end
        self.max_steps, self.wanted = max_steps, wanted
        self.asked = wanted.times[:, 1:].contiguous()
        self.pieces: list[Dense] = []
        self.answers: list[Tensor] = []

    def solve(self, state: State, last: Tensor, events: Occurrences, pass_through: Callable) -> list[Watched]:
        """Solve from a first state up to where each sample got (B,), and tell of the events anew."""
        self.start, self.direction = state.y, direction(state.t, self.end)[:, None]
        times = torch.where(events.which >= 0, events.t.detach(), last[:, None])
        self.bounds = torch.cat((state.t[:, None], times, last[:, None]), 1)  # (B, P + 1)
        watched, y, slope = [state.watched], state.y, state.slope
        for k in range(self.bounds.shape[1] - 1):
            y = self._solve_piece(k, y, slope)
            if k < events.which.shape[1]:
                which, sign, t = events.which[:, k], events.sign[:, k], self.bounds[:, k + 1]
                passage = pass_through(t, y, which, sign.to(y.dtype) * self.direction[:, 0])
                marks = {"which": which, "t": passage.t, "before": passage.before, "after": passage.after}
                watched.append(replace(state.watched, sign=sign, **marks))
                y, slope = passage.y, first_slope(self.stepper.field, t, passage.y)
        return watched

    def _solve_piece(self, k: int, y: Tensor, slope: Tensor) -> Tensor:
        """The states (B, ...) at the end of a piece; keep it, and the answers in it."""
        begin, end = self.bounds[:, k].contiguous(), self.bounds[:, k + 1].contiguous()
        control = self._control(begin, end)
        if isinstance(control, FixedGrid):
            t_next = control.end_of_trial(0)
        else:
            t_next = control.end_of_first_step(self.stepper.field, y.detach(), slope.detach(), None)
        t = torch.cat((self._among(k, self.asked), end[:, None]), 1)
        wanted = replace(self.wanted, times=torch.cat((begin[:, None], t), 1))
        state = initial_state(begin, t_next, y, slope)
        dense = self.way(self.stepper, control, state, end, self.max_steps, wanted)[1]
        answers = dense(dense.locate(t))
        self.pieces.append(dense)
        self.answers.append(answers[:, :-1])
        return answers[:, -1]

    def _control(self, begin: Tensor, end: Tensor) -> Controller:
        """A controller of the same kind from one time (B,) to another."""
        span, control = torch.stack((begin, end), 1), self.control
        if isinstance(control, FixedGrid):
            times = insert_breaks(span, control.times)
            return FixedGrid(times[:, : int((times != times[:, -1:]).sum(1).max().clamp(min=1)) + 1])
        stops = control.stops if control.stops is None else insert_breaks(span, control.stops)
        return replace(control, start=begin, end=end, stops=stops, doubtful=False)

    def _among(self, k: int, t: Tensor) -> Tensor:
        """The nearest times (B, T) that lie in a piece."""
        low, high = (self.direction * self.bounds[:, i : i + 1] for i in (k, k + 1))
        return self.direction * (self.direction * t).clamp(low, high)

    @property
    def steps(self) -> int:
        """N."""
        return sum(piece.steps for piece in self.pieces)

    @property
    def report(self) -> AdjointReport | None:
        """What the last backward pass took, of all pieces."""
        reports = [piece.report for piece in self.pieces if piece.report is not None]
        if not reports:
            return None
        parts = ("evaluations", "steps", "stored_states")
        return AdjointReport(*(sum(getattr(report, part) for report in reports) for part in parts))

    def locate(self, t: Tensor) -> Placed:
        """Find each time (B, T) on the path; that of an event belongs to the piece after it."""
        piece, trial, theta, steps = self._piece_of(t), torch.zeros_like(t).long(), torch.zeros_like(t), 0
        for k, dense in enumerate(self.pieces):
            found = dense.locate(self._among(k, t))
            trial = torch.where(piece == k, steps + found.trial, trial)
            theta = torch.where(piece == k, found.theta, theta)
            steps += dense.steps
        beyond = self.direction * t > self.direction * self.bounds[:, -1:]
        return Placed(trial, theta, beyond, t)

    def _piece_of(self, t: Tensor) -> Tensor:
        ends = (self.direction * self.bounds[:, 1:-1]).contiguous()
        return torch.searchsorted(ends, self.direction * t, right=True)

    def __call__(self, location: Placed) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        answers = self.answers
        if not torch.equal(location.t, self.asked):
            answers = [dense(dense.locate(self._among(k, location.t))) for k, dense in enumerate(self.pieces)]
        shape = (*location.trial.shape, *[1] * (self.start.ndim - 1))
        piece, y = self._piece_of(location.t).reshape(shape), answers[-1]
        for k, each in enumerate(answers[:-1]):
            y = torch.where(piece == k, each, y)
        return y.masked_fill(location.beyond.reshape(shape), torch.nan)
