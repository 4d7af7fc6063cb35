"""The gradient of `direct` in the memory of K states: `gradient="replay"`.

Forwards no graph is built. What is written down is when each step began, and K of the states (`checkpoints`).
Backwards the accepted steps are taken again one by one, the last first, from the state kept before them, with
the sizes they had; each is differentiated as soon as it is taken, and forgotten.
"""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from helpers.odes.checkpoints import Checkpoints, way_back
from helpers.odes.controller import FixedGrid, direction
from helpers.odes.gradient import Wanted, direct
from helpers.odes.interpolation import AdjointReport, DenseOutput, Location, dense_weights, locate
from helpers.odes.loop import Controller, Path, State, Step, Stepper, Tally, integrate, unsqueeze_like
from helpers.odes.pullback import Parameters, attach, find_parameters, without_graph
from helpers.odes.stepper import first_slope

LONGEST_BLOCK = 16
"""Trials that are kept whole, until their answers are read."""

LARGEST_DRIFT = 1e-4
"""Relative difference that a step taken again may have from itself, which is round-off."""


def replay(
    stepper: Stepper, control: Controller, state: State, end: Tensor, max_steps: int, wanted: Wanted
) -> tuple[Tally, "Replay | DenseOutput"]:
    """Integrate without a graph; the answers' gradient takes the accepted steps again."""
    first = find_parameters(stepper.field, wanted, [state]) if torch.is_grad_enabled() else None
    if first is None or not (first.tensors or state.y.requires_grad):
        return direct(stepper, control, state, end, max_steps, wanted)
    planned = control.times.shape[1] - 1 if isinstance(control, FixedGrid) else None
    recorder = Recorder(stepper, end, wanted, Checkpoints(wanted.checkpoints, planned), state)
    with torch.no_grad():
        integrate(stepper, control, without_graph(state), max_steps, recorder)
        recorder.read_block()
    parameters = find_parameters(stepper.field, wanted, [state, recorder.state])
    return recorder.tally, Replay(stepper, end, state, recorder, parameters)


# Forwards.


@dataclass(eq=False)
class Recorder:
    """A path that forgets its steps, a block at a time, once the answers in them are read.

    Parameters
    ----------
    stepper : Stepper
        What takes the steps.
    end : Tensor (B,), float64
        The times to reach.
    wanted : Wanted
        Times of the answers.
    checkpoints : Checkpoints
        Keeps states.
    first : State
        The first.

    Attributes
    ----------
    state : State
        The latest.
    times : list of Tensor (R, n), float64
        When the accepted steps began: of each sample, or with R = 1 of all.
    answers : Tensor (B, T - 1, ...)
        Those read so far; then where the sample got, and NaN beyond.
    tally : Tally
        Of all trials.
    """

    stepper: Stepper
    end: Tensor
    wanted: Wanted
    checkpoints: Checkpoints
    first: State
    state: State = field(init=False)
    times: list[Tensor] = field(default_factory=list)
    answers: Tensor = field(init=False)
    tally: Tally | None = None

    def __post_init__(self) -> None:
        y, self.t = self.first.y.detach(), self.wanted.times[:, 1:].contiguous()
        self.answers = y[:, None].repeat(1, self.t.shape[1], *[1] * (y.ndim - 1))
        self.unread = torch.ones_like(self.t, dtype=torch.bool)
        self.way = direction(self.first.t, self.end)[:, None]

    def begin(self, state: State) -> None:
        """Add where the first trial starts."""
        self.state, self.block, self.slopes = state, Path(), [state.slope]
        self.block.begin(state)

    def append(self, step: Step, state: State) -> None:
        """Add a trial and the state after it."""
        self.block.append(step, state)
        self.slopes.append(state.slope)
        self.state = state
        if self.block.trials == LONGEST_BLOCK:
            self.read_block()

    def read_block(self) -> None:
        """Read the answers within the block, write down when its steps began, keep states; forget it."""
        self._read_answers()
        accepted = self.block.accepted().any(0)
        slopes = self.slopes if self.stepper.reuses_slope else [None] * len(self.slopes)
        for n in accepted.nonzero()[:, 0].tolist():
            self.checkpoints.offer((self.block.y[n], slopes[n]))
        self._write_down(self.block.times()[:, :-1][:, accepted])
        tally = self.block.tally()
        self.tally = self.tally.followed_by(tally) if self.tally else tally
        self.begin(self.state)

    def _read_answers(self) -> None:
        block = self.block
        reached = self.way * self.t
        within = self.unread & (reached < self.way * self.state.t[:, None])
        columns = within.any(0).nonzero()[:, 0]
        if len(columns):
            dense, inside = DenseOutput(self.stepper, block, self.end), within[:, columns]
            found = dense.locate(self.t[:, columns].contiguous())
            trial, theta = (
                torch.where(inside, found.trial, block.trials),
                torch.where(inside, found.theta, 0.0),
            )
            read = dense(Location(trial, theta, torch.zeros_like(inside)))
            if not inside.all():
                inside = inside.reshape(*inside.shape, *[1] * (read.ndim - 2))
                read = torch.where(inside, read, self.answers[:, columns])
            self.answers[:, columns] = read
            self.unread &= ~within

    def _write_down(self, times: Tensor) -> None:
        """Add times (B, n), in one row if all samples share them; pieces of equal length are joined."""
        shared = bool((times == times[:1]).all())
        self.times.append(times[:1].clone() if shared else times)
        while len(self.times) > 1 and self.times[-1].shape[1] >= self.times[-2].shape[1]:
            self.times[-2:] = [joined(self.times[-2:])]

    def all_times(self) -> Tensor:
        """When each accepted step began, and the last ended (R, N + 1), R being 1 or B."""
        last = self.state.t[:, None]
        return joined([*self.times, last[:1] if bool((last == last[:1]).all()) else last])

    def all_answers(self) -> Tensor:
        """The answers (B, T - 1, ...); NaN where a sample did not get so far."""
        y = self.state.y.detach()
        shape = (*self.unread.shape, *[1] * (y.ndim - 1))
        answers = torch.where(self.unread.reshape(shape), y[:, None], self.answers)
        beyond = self.way * self.t > self.way * self.state.t[:, None]
        return answers.masked_fill(beyond.reshape(shape), torch.nan)


def joined(pieces: list[Tensor]) -> Tensor:
    """Pieces (R, n) one after the other, those of one row for all samples repeated where others have more."""
    rows = max(len(piece) for piece in pieces)
    return torch.cat([piece.expand(rows, -1) for piece in pieces], 1)


# Backwards.


class Replay:
    """The solution at any time, read as the steps were taken, or are taken again; its gradient is replayed.

    Parameters
    ----------
    stepper : Stepper
        What took the steps.
    end : Tensor (B,), float64
        The times to reach.
    first : State
        From which all began, with its graph.
    recorder : Recorder
        What was written down.
    parameters : Parameters
        What the field's gradient goes to.
    """

    report: AdjointReport | None = None
    requires_grad = True

    def __init__(
        self, stepper: Stepper, end: Tensor, first: State, recorder: Recorder, parameters: Parameters
    ) -> None:
        self.stepper, self.end, self.start, self.parameters = stepper, end, first.y, parameters
        self.checkpoints, self.last = recorder.checkpoints, recorder.state.y.detach()
        self.times = recorder.all_times().T.contiguous()  # (N + 1, R)
        self.steps = len(self.times) - 1
        waiting = (self.times.diff(dim=0) == 0).any(1)
        self.some_wait = set(waiting.nonzero()[:, 0].tolist())  # numbers of steps
        self.asked, self.answers = recorder.t, recorder.all_answers()
        self.found = self._find(self.asked)
        self.rest = (first.accepted, first.error_ratio, first.memory)
        self._choose_safe_states()

    def _find(self, t: Tensor) -> Location:
        """Find each time (B, T) on the path; times that all samples share are not repeated for it."""
        if self.times.shape[1] == len(t) or not self.steps:
            return locate(self.times.T.expand(len(t), -1).contiguous(), t, self.end)
        found = locate(self.times.T.contiguous(), t.reshape(1, -1), self.end[:1])
        return Location(*(each.reshape(t.shape) for each in (found.trial, found.theta, found.beyond)))

    def _choose_safe_states(self) -> None:
        """Where the field is evaluated for samples that wait: the first state, of a sample that moved."""
        y = self.start.detach()
        first, last = (self.times[k].expand(len(y)) for k in (0, -1))
        self.moves = first != last
        stand_in = self.moves.int().argmax()
        self.safe_t = torch.where(self.moves, first, first[stand_in])
        self.safe_y = torch.where(unsqueeze_like(self.moves, y), y, y[stand_in])

    def locate(self, t: Tensor) -> Location:
        """Find each time (B, T) on the path."""
        return self.found if torch.equal(t, self.asked) else self._find(t)

    def __call__(self, location: Location) -> Tensor:
        """The states (B, T, ...) there; NaN where a sample did not get so far."""
        with torch.no_grad():
            y = self.answers if location is self.found else self.read(location)
        return attach(partial(self.pull_back, location), y, self.start, self.parameters)

    def read(self, location: Location) -> Tensor:
        """Answers that were not asked for before: take the steps again, between checkpoints."""
        wanted, states = set(location.trial.unique().tolist()), self.checkpoints.all_states()
        shape = (*location.trial.shape, *[1] * (self.start.ndim - 1))
        y = self.last[:, None].expand(*location.trial.shape, *self.last.shape[1:])
        for n in range(min(max(wanted, default=0) + 1, self.steps)):
            state = states.get(n) or state  # noqa: F821 - step 0 is always kept
            after, increments = self.take(n, *state, n in wanted)
            if n in wanted:
                weights = dense_weights(self.stepper.tableau, location.theta.flatten()).to(y.dtype)
                weights = weights.reshape(-1, *shape)
                moved = state[0][:, None] + sum(
                    weight * increment[:, None] for weight, increment in zip(weights, increments, strict=True)
                )
                y = torch.where((location.trial == n).reshape(shape), moved, y)
            state = after
        return y.masked_fill(location.beyond.reshape(shape), torch.nan)

    def take(
        self, n: int, y: Tensor, slope: Tensor | None, dense: bool = False
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, ...]]:
        """Take step n again: the state and slope after it, and h k_i of its stages.

        A sample that does not take part has h = 0. The field is evaluated for it where it is known to have
        both value and derivative.
        """
        t, t_next = (self.times[k].expand(len(y)) for k in (n, n + 1))
        if n == 0 and self.stepper.reuses_slope:
            start = y if self.moves.all() else torch.where(unsqueeze_like(self.moves, y), y, self.safe_y)
            slope = first_slope(self.stepper.field, self.safe_t, start)
        before = (y, slope)
        if n in self.some_wait:
            goes_on = t != t_next
            among = unsqueeze_like(goes_on, y)
            t, t_next = (torch.where(goes_on, each, self.safe_t) for each in (t, t_next))
            y = torch.where(among, y, self.safe_y)
            slope = None if slope is None else torch.where(among, slope, 0.0)
        step = self.stepper(State(t, t_next, y, slope, *self.rest))
        increments, after = step.increments, (step.y, step.slope)
        if dense and self.stepper.tableau.dense_a:
            increments += self.stepper.dense_stages(t, y, t_next - t, increments)
        if n in self.some_wait:
            after = tuple(
                None if old is None else torch.where(among, new, old)
                for new, old in zip(after, before, strict=True)
            )
        return (after[0], after[1] if self.stepper.reuses_slope else None), increments

    def pull_back(self, location: Location, gradient: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """From the gradient of answers (B, T, ...) at some places to those of y₀ and of each parameter."""
        answers = Cotangents(self, location, gradient)
        states, total = self.checkpoints.all_states(), [None] * len(self.parameters.tensors)
        a, a_slope = answers.at_the_end(), None
        after, drift, taken, most = self.last, a.new_zeros(()), 0, 0
        for n, begin, keep in way_back(self.steps, self.checkpoints.slots, sorted(states)):
            state = states[begin]
            for k in range(begin, n):
                state = self.take(k, *state)[0]
                if k + 1 in keep:
                    states[k + 1] = state
            most, taken = max(most, len(states)), taken + n - begin + 1
            a, a_slope, y_next = self._reverse(n, state, (a, a_slope), answers, total)
            drift = torch.maximum(drift, self._difference(n, y_next, after))
            after = state[0]
            states.pop(n, None)
        self._finish(drift, taken, most)
        return a, tuple(total)

    def _reverse(
        self, n: int, state: tuple, cotangents: tuple, answers: "Cotangents", total: list[Tensor | None]
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """From the cotangents of what step n led to, to those of what it came from."""
        with_slope = state[1] is not None and n > 0
        leaves = [each.detach().requires_grad_() for each in state[: 1 + with_slope]]
        dense = answers.any_within(n)
        with torch.enable_grad():
            (y, slope), increments = self.take(n, *leaves, *[None] * (not with_slope), dense=dense)
        outputs, pulled = [y], [cotangents[0]]
        if cotangents[1] is not None:
            outputs, pulled = [y, slope], list(cotangents)
        if dense:
            by_y, by_increments = answers.within(n)
            outputs += [increments[i] for i in by_increments]
            pulled += by_increments.values()
        place = f"t = {self.times[n, 0].item():g}"
        a, *a_slope = self.parameters.pull(outputs, leaves, pulled, total, place)
        return a + by_y if dense else a, a_slope[0] if a_slope else None, y.detach()

    def _difference(self, n: int, y: Tensor, known: Tensor) -> Tensor:
        """Largest relative difference of states after step n; of samples that took part."""
        change, size = y - known, known
        if n in self.some_wait:
            moved = unsqueeze_like((self.times[n] != self.times[n + 1]).expand(len(y)), y)
            change, size = (torch.where(moved, each, 0.0) for each in (change, size))
        return change.abs().amax() / size.abs().amax().clamp(min=torch.finfo(y.dtype).tiny)

    def _finish(self, drift: Tensor, taken: int, most: int) -> None:
        if not drift <= LARGEST_DRIFT:
            raise ValueError(
                "f must return the same slopes whenever it is asked for them: a step taken again led "
                f"elsewhere, by {drift.item():.2g} relative to the state; has f dropout, or was it changed?"
            )
        tableau = self.stepper.tableau
        each = len(tableau.a) if self.stepper.reuses_slope else len(tableau.c)
        self.report = AdjointReport(each * taken, taken, most)


class Cotangents:
    """The gradients of answers, in the order of the steps within which these lie."""

    def __init__(self, replayed: Replay, location: Location, gradient: Tensor) -> None:
        self.tableau, self.start, self.steps = replayed.stepper.tableau, replayed.start, replayed.steps
        shape = (*location.beyond.shape, *[1] * (gradient.ndim - 2))
        gradient = gradient.masked_fill(location.beyond.reshape(shape), 0.0)
        trial = torch.where(location.beyond, self.steps, location.trial).flatten()
        order = trial.argsort(stable=True)
        numbers, counts = trial[order].unique_consecutive(return_counts=True)
        ends = counts.cumsum(0)
        pieces = zip(numbers.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
        self.rows = {n: slice(first, last) for n, first, last in pieces}
        self.sample = order // location.trial.shape[1]
        self.gradient, self.theta = gradient.flatten(0, 1)[order], location.theta.flatten()[order]
        self.stages = [i for i, row in enumerate(self.tableau.dense) if any(row)]

    def any_within(self, n: int) -> bool:
        """Whether any answer lies within step n."""
        return n in self.rows

    def at_the_end(self) -> Tensor:
        """Of the state where each sample got."""
        rows = self.rows.get(self.steps, slice(0))
        return torch.zeros_like(self.start).index_add_(0, self.sample[rows], self.gradient[rows])

    def within(self, n: int) -> tuple[Tensor, dict[int, Tensor]]:
        """Of the state from which step n starts, and by their numbers of the stages' h k_i.

        ::

            y(t_n + θh) = y_n + Σ_i b_i(θ) h k_i
        """
        rows = self.rows[n]
        gradient = self.gradient[rows]
        weights = dense_weights(self.tableau, self.theta[rows])[self.stages].to(gradient.dtype)
        weights = torch.cat((torch.ones_like(weights[:1]), weights)).T  # (rows, 1 + stages)
        weighted = weights.reshape(*weights.shape, *[1] * (gradient.ndim - 1)) * gradient[:, None]
        nothing = self.start.new_zeros(len(self.start), *weighted.shape[1:])
        by_y, *by_stages = nothing.index_add_(0, self.sample[rows], weighted).unbind(1)
        return by_y, dict(zip(self.stages, by_stages, strict=True))
