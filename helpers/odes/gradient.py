"""Gradients of a solution. There is one way so far: through the steps."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.odes.grid import Grid
from helpers.odes.loop import Controller, integrate
from helpers.odes.path import Path
from helpers.odes.state import State, starting
from helpers.odes.stepper import Step, Stepper, beside

WILD_RATIO = 100.0
"""A trial with a larger error, in tolerances, may have met states at which the field has no derivative."""


@dataclass(frozen=True, eq=False)
class Integral:
    """What an integration has done, and where it led.

    Attributes
    ----------
    tried : Path
        Every trial.
    path : Path
        What answers are computed from, and gradients through: mostly the same path.
    stepper : Stepper
        What took the steps of the path.
    """

    tried: Path
    path: Path
    stepper: Stepper


def direct(stepper: Stepper, control: Controller, state: State, max_steps: int) -> Integral:
    """Integrate such that autograd differentiates through the steps; their sizes are constants to it.

    A rejected trial has weight 0 in the answer, but 0 · ∞ = NaN: one that met an infinite derivative would
    spoil the gradient for the whole batch. After a trial that went wild, the accepted steps are therefore
    taken a second time, without the others. A trial that is rejected by less than that stays, for the sake of
    speed; at such tolerances a field like √y, whose derivative is infinite somewhere, may still give NaN. So
    may one whose derivative is infinite where a sample has arrived and waits for the others.
    """
    tried = integrate(stepper, control, state, max_steps)
    if tried.trials and tried.y[-1].requires_grad and went_wild(tried):
        return retraced(stepper, tried)
    return Integral(tried, tried, stepper)


def went_wild(path: Path) -> bool:
    """Whether any trial left the numbers or nearly did, or a sample could not even start."""
    return not ((path.ratios() <= WILD_RATIO).all() & path.h[0].all())


@dataclass(frozen=True, eq=False)
class SafeStepper(Stepper):
    """A stepper that evaluates the field for samples that wait (h = 0) where it is known to be finite.

    Attributes
    ----------
    t : Tensor (B,), float64
        Times of safe states.
    y : Tensor (B, ...)
        Safe states.
    """

    t: Tensor
    y: Tensor

    def __call__(self, state: State) -> Step:
        """Try one step of every sample that goes."""
        t, y = self._safe(state.t, state.y, state.h)
        return super().__call__(replace(state, t=t, y=y))

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """h k_i of the further stages of every sample that goes."""
        return super().dense_stages(*self._safe(t, y, h), h, increments)

    def _safe(self, t: Tensor, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        goes = h != 0
        return torch.where(goes, t, self.t), torch.where(beside(goes, y), y, self.y)


def retraced(stepper: Stepper, path: Path) -> Integral:
    """The same path by its accepted steps alone.

    Where a sample failed, its field may have neither value nor derivative. While it waits for the others the
    field is evaluated at its first state; for a sample that took no step, at the first state of one that did.
    """
    moved = path.moved()
    moves, stand_in = moved.any(1), moved.any(1).int().argmax()
    t = torch.where(moves, path.t[0], path.t[0][stand_in])
    y = torch.where(beside(moves, path.y[0]), path.y[0], path.y[0][stand_in])
    safe = SafeStepper(stepper.field, stepper.tableau, stepper.attempt, t, y)
    grid = Grid(_accepted_times(path.times(), moved))
    start = starting(path.t[0], path.y[0], safe.first_slope(t, y), grid.goal(0))
    return Integral(path, integrate(safe, grid, start, grid.times.shape[1] - 1), safe)


def _accepted_times(times: Tensor, moved: Tensor) -> Tensor:
    """Each sample's times (B, M + 1) between its accepted steps; the last repeated if it took fewer."""
    trials = moved.shape[1]
    order = torch.where(moved, torch.arange(trials, device=moved.device), trials).sort(1).values
    order = order[:, : int(moved.sum(1).max())]
    return torch.cat((times.gather(1, order), times[:, -1:]), dim=1)
