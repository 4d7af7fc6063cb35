"""The controller of a fixed grid: it accepts every step that stays within the numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.odes.norms import all_finite
from helpers.odes.state import State
from helpers.odes.stepper import Step, beside


@dataclass(frozen=True, eq=False)
class Grid:
    """Steps known beforehand, each sample its own.

    Attributes
    ----------
    times : Tensor (B, N + 1), float64
        Where the steps begin and end; a sample with fewer steps repeats its last time.
    """

    times: Tensor

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this step: a sample that has left the numbers stays at its last finite state."""
        finite = all_finite(step.y) & all_finite(torch.stack(step.increments, dim=1))
        goes = state.h != 0
        t = torch.where(finite, state.goal, state.t)
        goal = torch.where(finite & goes, self.goal(trial + 1), t)
        return State(
            t=t,
            y=torch.where(beside(finite & goes, step.y), step.y, state.y),
            slope=step.slope,
            goal=goal,
            h=goal - t,
            accepted=finite,
            ratio=torch.where(finite, 0.0, torch.inf).to(state.ratio.dtype),
            memory=state.memory,
        )

    def steps_left(self, state: State, trial: int) -> float:
        """Steps up to the grid's end; 0 when all samples have arrived or failed. A poll."""
        return self.times.shape[1] - 1 - trial if state.h.any() else 0

    def goal(self, trials: int) -> Tensor:
        """Where the step after so many ends (B,)."""
        return self.times[:, min(trials + 1, self.times.shape[1] - 1)]


def divided(t: Tensor, longest: float | None, most: int) -> Grid:
    """The grid through all output times (B, T) with steps no longer than `longest`, at most `most`.

    Every interval is divided into equal steps, as few as that allows; without `longest` it is one step.
    """
    lengths = t.diff()
    if longest is None or not lengths.shape[1]:
        return Grid(t)
    pieces = (lengths.abs() / longest * (1 - ROUND_OFF)).ceil().clamp(min=1)  # (B, T - 1)
    last = pieces.cumsum(1)
    count = int(last[:, -1].max().clamp(max=most))
    index = torch.arange(count + 1, dtype=t.dtype, device=t.device).expand(len(t), -1).contiguous()
    interval = torch.searchsorted(last, index, right=True).clamp(max=lengths.shape[1] - 1)  # (B, N + 1)
    share = (index - (last - pieces).gather(1, interval)) / pieces.gather(1, interval)
    times = t.gather(1, interval) + share * lengths.gather(1, interval)
    return Grid(torch.where(share < 1, times, t[:, -1:]))


ROUND_OFF = 1e-12
"""An interval of n steps' length but for this is divided into n, not n + 1."""
