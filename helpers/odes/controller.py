"""The controller: from the error of a step to its acceptance and to the next step's size."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.odes.norms import error_ratio, pooled
from helpers.odes.state import State
from helpers.odes.stepper import Step, beside
from helpers.odes.tableau import Tableau

SAFETY, RESPONSE, MEMORY = 0.9, 0.7, 0.4
SMALLEST_FACTOR, LARGEST_FACTOR = 0.2, 10.0
LEAST_REMEMBERED, LARGE_RATIO = 1e-4, 1e12
NEARLY_THERE = 1.01
"""A step that would end this close before the last time goes all the way."""

EPSILON = torch.finfo(torch.float64).eps
SMALLEST_STEP = 10 * EPSILON
"""As a share of |t|, or of ε times the whole time where that is more (near t = 0)."""

MANY = 1e9
"""Steps left, where there are more."""

NEARLY_INFINITE = 1e-4
"""As a share of the largest number: a state beyond has outgrown its numbers when a trial leaves them."""


@dataclass(frozen=True, eq=False)
class PIController:
    """Accept a step whose error is within the tolerance, and choose the next from this error and the last.

    ::

        r = ‖error / (atol + rtol max(|y|, |y₁|))‖_RMS ≤ 1,   h ← h · clamp(0.9 r^-α r_last^β, 0.2, 10)

    with α = 0.7 / (q + 1) and β = 0.4 / (q + 1), q the error estimate's order. A step after a rejected one
    does not grow. A trial that leaves the numbers has r = NaN or ∞; it is rejected, and h shrinks fivefold.
    A sample that would need a step below 10 ε |t| has failed, and so has one whose trial leaves the numbers
    from a state close to their end: it would creep towards it in ever smaller steps.

    Attributes
    ----------
    tableau : Tableau
        The method; its error order is q.
    start, end : Tensor (B,), float64
        First and last times; the last are the only ones that steps are shortened for.
    rtol, atol : Tensor (), of the states' dtype
        Tolerances.
    per_sample : bool
        Whether each sample has its own r, or all that still go share the RMS of theirs.
    judge : callable
        `judged`, or a compiled version of it.

    Where a solution settles, 0.9 r^-α r_last^β = 1 keeps r near 0.2: that cushion, and the memory, spare most
    rejections. For the same achieved error other α and β, also without memory, took between 2 % fewer and 9 %
    more evaluations, averaged over six problems and four accuracies.

    Source: Gustafsson's PI control as in Hairer and Wanner (1996), Solving ordinary differential equations
    II, 2nd edition, section IV.2.
    """

    tableau: Tableau
    start: Tensor
    end: Tensor
    rtol: Tensor
    atol: Tensor
    per_sample: bool
    judge: Callable[..., State]

    def __call__(self, state: State, step: Step, trial: int) -> State:
        """The state after this trial."""
        return self.judge(self, state, step)

    def goal(self, t: Tensor, h: Tensor) -> Tensor:
        """Where a step from t ends (B,): at t + h, or at the last time if that is nearly as near."""
        return torch.where((self.end - t).abs() <= NEARLY_THERE * h.abs(), self.end, t + h)

    def smallest_step(self, t: Tensor) -> Tensor:
        """The shortest step (B,) that is tried at t."""
        return SMALLEST_STEP * torch.maximum(t.abs(), EPSILON * (self.end - self.start).abs())

    def steps_left(self, state: State, trial: int) -> float:
        """Steps of their present size that the samples still need at most; 0 when none goes on. A poll."""
        left = ((self.end - state.t) / state.h).clamp(max=MANY)
        return torch.where(state.h != 0, left, 0.0).max().item()


def judged(control: PIController, state: State, step: Step) -> State:
    """The state after a trial."""
    own_ratio = error_ratio(step.errors, state.y, step.y, control.rtol, control.atol)
    ratio = own_ratio if control.per_sample else pooled(own_ratio, state.h != 0)
    accepted = ratio <= 1
    t = torch.where(accepted, state.goal, state.t)
    h = state.h * _factor(ratio, state, control.tableau)
    too_small = ~(own_ratio <= 1) & (h.abs() < control.smallest_step(t))
    failed = too_small | _outgrown(own_ratio, state.y)
    goal = torch.where(failed, t, control.goal(t, h))
    moved = beside(accepted, step.y)
    return State(
        t=t,
        y=torch.where(moved, step.y, state.y),
        slope=torch.where(moved, step.slope, state.slope),
        goal=goal,
        h=goal - t,
        accepted=accepted,
        ratio=own_ratio,
        memory=torch.where(accepted, _remembered(ratio, control.tableau), state.memory),
    )


def _factor(ratio: Tensor, state: State, tableau: Tableau) -> Tensor:
    """What the step is multiplied by (B,); a ratio of NaN or ∞ counts as a very large one."""
    ratio = ratio.nan_to_num(nan=LARGE_RATIO, posinf=LARGE_RATIO)
    factor = ratio ** (-RESPONSE / (tableau.error_order + 1)) * state.memory
    factor = (SAFETY * factor).clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
    return torch.where(state.accepted, factor, factor.clamp(max=1.0))


def _remembered(ratio: Tensor, tableau: Tableau) -> Tensor:
    """r^β (B,) for the next factor."""
    return ratio.clamp(min=LEAST_REMEMBERED) ** (MEMORY / (tableau.error_order + 1))


def _outgrown(own_ratio: Tensor, y: Tensor) -> Tensor:
    """Which samples (B,) have left the numbers from a state y close to their end."""
    return ~(own_ratio < torch.inf) & nearly_infinite(y)


def nearly_infinite(y: Tensor) -> Tensor:
    """Which samples (B,) have an entry close to the largest number of their dtype."""
    largest = y.detach().abs().reshape(len(y), -1).amax(1)
    return largest > NEARLY_INFINITE * torch.finfo(y.dtype).max
