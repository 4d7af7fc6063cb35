"""The stepper: from a tableau to one step of every sample. It knows no tolerance and no output time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.odes.state import State
from helpers.odes.tableau import Row, Tableau

Field = Callable[[Tensor, Tensor], Tensor]
"""f: from times (B,) and states (B, ...) to slopes (B, ...)."""


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
class Stepper:
    """One Runge–Kutta method on one field.

    Attributes
    ----------
    field : callable
        f.
    tableau : Tableau
        The method.
    attempt : callable
        `take_step`, or a compiled version of it.
    """

    field: Field
    tableau: Tableau
    attempt: Callable[..., Step]

    def __call__(self, state: State) -> Step:
        """Try one step of every sample from where it stands."""
        return self.attempt(self.field, self.tableau, state.t, state.y, state.h, state.slope)

    def first_slope(self, t: Tensor, y: Tensor) -> Tensor:
        """f(t, y), the first stage of the first step."""
        return self.field(t.to(y.dtype), y)

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """h k_i of the further stages that the tableau's dense output needs."""
        stages = _stages(self.field, self.tableau.dense_c, self.tableau.dense_a, t, y, h, increments)[0]
        return stages[len(increments) :]


def take_step(field: Field, tableau: Tableau, t: Tensor, y: Tensor, h: Tensor, slope: Tensor | None) -> Step:
    """Try one step of every sample.

    ::

        k_i = f(t + c_i h, y + Σ_{j<i} a_ij h k_j),   y₁ = y + Σ_i b_i h k_i,   error = Σ_i e_i h k_i

    Parameters
    ----------
    field : callable
        f.
    tableau : Tableau
        a, b, c and e.
    t, h : Tensor (B,), float64
        Times and signed steps; with h = 0 a sample stays exactly where it is.
    y : Tensor (B, ...)
        States.
    slope : Tensor (B, ...) or None
        k₁ = f(t, y), where the step before has computed it.
    """
    if slope is None:
        slope = field(t.to(y.dtype), y)
    first = (beside(h, y).to(y.dtype) * slope,)
    increments, y_next, slope = _stages(field, tableau.c[1:], tableau.a, t, y, h, first)
    if not tableau.first_same_as_last:
        y_next, slope = combination(tableau.b, increments, y), None
    with torch.no_grad():
        errors = tuple(error_estimate(row, increments, y_next) for row in tableau.error)
    return Step(y_next, slope, increments, errors)


def _stages(
    field: Field,
    c: Row,
    a: tuple[Row, ...],
    t: Tensor,
    y: Tensor,
    h: Tensor,
    increments: tuple[Tensor, ...],
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Add one stage h f(t + c h, y + Σ_j a_j h k_j) for each row of a; the last stage's state and slope."""
    step_size, state, slope = beside(h, y).to(y.dtype), y, None
    for node, row in zip(c, a, strict=True):
        state = combination(row, increments, y)
        slope = field(torch.add(t, h, alpha=node).to(y.dtype), state)
        increments = (*increments, step_size * slope)
    return increments, state, slope


def combination(weights: Row, increments: Sequence[Tensor], start: Tensor) -> Tensor:
    """start + Σ_i w_i d_i; a stage of weight 0 takes no part."""
    parts = [(weight, increment) for weight, increment in zip(weights, increments, strict=True) if weight]
    (weight, increment), *others = parts
    total = torch.add(start, increment, alpha=weight)
    for weight, increment in others:
        total.add_(increment, alpha=weight)
    return total


def error_estimate(weights: Row, increments: Sequence[Tensor], y_next: Tensor) -> Tensor:
    """Σ_i e_i d_i. Stages of weight 0 take part, and y₁ too: 0 · ∞ = NaN, so that no infinity gets by."""
    error = 0.0 * y_next
    for weight, increment in zip(weights, increments, strict=True):
        error.add_(increment, alpha=weight)
    return error


def beside(numbers: Tensor, y: Tensor) -> Tensor:
    """One number of each sample (B,), shaped to stand beside states (B, ...)."""
    return numbers.reshape(-1, *[1] * (y.ndim - 1))
