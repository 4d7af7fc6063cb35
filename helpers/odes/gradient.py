"""The gradient through the steps as they were taken, `gradient="direct"`.

Another way to differentiate is another function of the arguments of `direct` that returns what it returns:
every trial, and the dense output from which the answers and their gradients are read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.odes.controller import FixedGrid, all_finite
from helpers.odes.interpolation import DenseOutput
from helpers.odes.loop import (
    Controller,
    Field,
    Path,
    State,
    Step,
    Stepper,
    Tally,
    initial_state,
    integrate,
    unsqueeze_like,
)
from helpers.odes.stepper import first_slope, take_step
from helpers.odes.tableau import RK4, Tableau

LARGEST_HARMLESS_RATIO = 100.0
"""A trial with a larger error, in tolerances, may have met states at which the field has no derivative."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What ways to differentiate other than `direct` have to know beforehand.

    Attributes
    ----------
    times : Tensor (B, T), float64
        Where answers are wanted.
    field : callable
        f, as the caller gave it.
    params : list of Tensor, or None
        What the caller wants gradients of, beside y₀ and times.
    checkpoints : int
        How many states may be kept.
    """

    times: Tensor
    field: Callable
    params: list[Tensor] | None
    checkpoints: int


def direct(
    stepper: Stepper,
    control: Controller,
    state: State,
    end: Tensor,
    max_steps: int,
    wanted: Wanted | None = None,
) -> tuple[Tally, DenseOutput]:
    """Integrate such that autograd differentiates through the steps; their sizes are constants to it.

    A rejected trial has weight 0 in the answer, but 0 · ∞ = NaN: one that met an infinite derivative would
    spoil the gradient for the whole batch. After a trial that went far wrong, the accepted steps are
    therefore taken a second time, without the others. A trial that is rejected by less than that stays, for
    the sake of speed; at such tolerances a field like √y, whose derivative is infinite somewhere, may still
    give NaN. So may one whose derivative is infinite where a sample has arrived and waits for the others.
    """
    trials = integrate(stepper, control, state, max_steps)
    if trials.trials and trials.y[-1].requires_grad and needs_replay(trials, end):
        return replace(trials.tally(), retaken=True), replay_accepted(stepper, trials, end)
    return trials.tally(), DenseOutput(stepper, trials, end)


def needs_replay(path: Path, end: Tensor) -> bool:
    """Whether any trial was not finite or nearly so, or a sample could not even start."""
    harmless = (path.error_ratios() <= LARGEST_HARMLESS_RATIO).all()
    return not (harmless & ((path.step_sizes()[:, 0] != 0) | (path.t[0] == end)).all())


def follow(field: Field, y: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """States (B, T, ...) at `begin` (B, T), carried on to `end`, which is the same time: a function of both.

    One step of length 0 does not change the states, but has their derivatives by the times, those of the
    exact solution up to the step's order, the fourth. States that are not finite stay without.
    """
    finite = torch.stack([all_finite(state) for state in y.unbind(1)], 1)
    finite = finite.reshape(*finite.shape, *[1] * (y.ndim - 2))
    safe = torch.where(finite, y, y[:, :1])
    columns = zip(safe.unbind(1), begin.unbind(1), (end - begin).unbind(1), strict=True)
    moved = torch.stack([take_step(field, RK4, t, state, h, None).y for state, t, h in columns], 1)
    return torch.where(finite, moved, y)


def replay_accepted(stepper: Stepper, path: Path, end: Tensor) -> DenseOutput:
    """Take the accepted steps of a path once more, and no others.

    Where a sample failed, its field may have neither value nor derivative. While it waits for the others the
    field is evaluated at its first state; for a sample that took no step, at the first state of one that did.
    """
    accepted = path.accepted()
    moves, stand_in = accepted.any(1), accepted.any(1).int().argmax()
    t = torch.where(moves, path.t[0], path.t[0][stand_in])
    y = torch.where(unsqueeze_like(moves, path.y[0]), path.y[0], path.y[0][stand_in])
    safe = SafeStepper(stepper, t, y)
    grid = FixedGrid(_accepted_times(path.times(), accepted))
    start = initial_state(path.t[0], grid.end_of_trial(0), path.y[0], first_slope(stepper.field, t, y))
    return DenseOutput(safe, integrate(safe, grid, start, grid.times.shape[1] - 1), end)


@dataclass(frozen=True, eq=False)
class SafeStepper:
    """A stepper that evaluates the field for samples that wait (h = 0) where it is known to be finite.

    Parameters
    ----------
    stepper : Stepper
        What takes the steps.
    t : Tensor (B,), float64
        Times of safe states.
    y : Tensor (B, ...)
        Safe states.
    """

    stepper: Stepper
    t: Tensor
    y: Tensor

    @property
    def field(self) -> Field:
        """f."""
        return self.stepper.field

    @property
    def tableau(self) -> Tableau:
        """The method."""
        return self.stepper.tableau

    @property
    def compiled(self) -> bool:
        """Whether torch.compile compiles the step."""
        return self.stepper.compiled

    @property
    def reuses_slope(self) -> bool:
        """Whether the last slope of a step is the first of the next."""
        return self.stepper.reuses_slope

    def __call__(self, state: State) -> Step:
        """Try one step of every sample that goes on."""
        t, y = self._safe(state.t, state.y, state.h)
        t_next = torch.where(state.goes_on, state.t_next, self.t)
        return self.stepper(replace(state, t=t, t_next=t_next, y=y))

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The further stages of every sample that goes on."""
        return self.stepper.dense_stages(*self._safe(t, y, h), h, increments)

    def _safe(self, t: Tensor, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        goes_on = h != 0
        return torch.where(goes_on, t, self.t), torch.where(unsqueeze_like(goes_on, y), y, self.y)


def _accepted_times(times: Tensor, accepted: Tensor) -> Tensor:
    """Each sample's times (B, M + 1) between its accepted steps; the last repeated if it took fewer."""
    trials = accepted.shape[1]
    order = torch.where(accepted, torch.arange(trials, device=accepted.device), trials).sort(1).values
    order = order[:, : int(accepted.sum(1).max())]
    return torch.cat((times.gather(1, order), times[:, -1:]), dim=1)
