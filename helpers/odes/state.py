"""What the loop carries from one step to the next."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class State:
    """Where each sample stands between two steps.

    Attributes
    ----------
    t : Tensor (B,), float64
        Times reached.
    y : Tensor (B, ...)
        States there.
    slope : Tensor (B, ...) or None
        f(t, y), where the step before has computed it.
    goal : Tensor (B,), float64
        Where the next step shall end.
    h : Tensor (B,), float64
        goal - t; 0 for a sample that has arrived or failed, and that is what keeps it where it is.
    accepted : Tensor (B,), bool
        Whether the last trial was.
    ratio : Tensor (B,), float64
        Error of the last trial in units of its tolerance; NaN or inf where it left the numbers.
    memory : Tensor (B,), float64
        What the controller remembers of the last accepted trial.
    """

    t: Tensor
    y: Tensor
    slope: Tensor | None
    goal: Tensor
    h: Tensor
    accepted: Tensor
    ratio: Tensor
    memory: Tensor


def starting(t: Tensor, y: Tensor, slope: Tensor | None, goal: Tensor) -> State:
    """The state before the first step; a sample with nowhere to go stays."""
    ones = torch.ones_like(t)
    return State(t, y, slope, goal, goal - t, accepted=ones.bool(), ratio=ones, memory=ones)
