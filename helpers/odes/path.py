"""Every step that the loop took, kept for the dense output and for gradients."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.odes.state import State
from helpers.odes.stepper import Step


@dataclass(frozen=True, eq=False)
class Path:
    """The nth entry of each list belongs to the nth trial of the loop, in which not every sample moved.

    Attributes
    ----------
    t : list of Tensor (B,), float64
        Times from which it started; one more, the last, is where the path ends. So with `y` and `h`.
    y : list of Tensor (B, ...)
        States from which it started.
    h : list of Tensor (B,), float64
        Signed steps; 0 for samples that had arrived or failed.
    increments : list of tuple of Tensor (B, ...)
        h k_i of each stage.
    accepted : list of Tensor (B,), bool
        Where the trial was good enough.
    ratio : list of Tensor (B,), float64
        Its errors in units of their tolerance.
    """

    t: list[Tensor] = field(default_factory=list)
    y: list[Tensor] = field(default_factory=list)
    h: list[Tensor] = field(default_factory=list)
    increments: list[tuple[Tensor, ...]] = field(default_factory=list)
    accepted: list[Tensor] = field(default_factory=list)
    ratio: list[Tensor] = field(default_factory=list)

    def begin(self, state: State) -> None:
        """Add where the next trial starts, or the path ends."""
        self.t.append(state.t)
        self.y.append(state.y)
        self.h.append(state.h)

    def append(self, trial: Step, state: State) -> None:
        """Add a trial and the state after it."""
        self.increments.append(trial.increments)
        self.accepted.append(state.accepted)
        self.ratio.append(state.ratio)
        self.begin(state)

    @property
    def trials(self) -> int:
        """N."""
        return len(self.increments)

    def times(self) -> Tensor:
        """t (B, N + 1)."""
        return torch.stack(self.t, dim=1)

    def steps(self) -> Tensor:
        """h (B, N + 1); the last were not tried."""
        return torch.stack(self.h, dim=1)

    def ratios(self) -> Tensor:
        """r (B, N)."""
        return torch.stack(self.ratio, dim=1) if self.ratio else self.t[0].new_empty(len(self.t[0]), 0)

    def tried(self) -> Tensor:
        """Which samples (B, N) took part in each trial."""
        return self.steps()[:, :-1] != 0

    def moved(self) -> Tensor:
        """Which samples (B, N) each trial moved."""
        tried = self.tried()
        return tried & torch.stack(self.accepted, dim=1) if self.accepted else tried
