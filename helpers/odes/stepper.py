"""The stepper: from a tableau to one step of every sample. It knows no tolerance and no output time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import compile_function
from helpers.odes.loop import Field, State, Step, unsqueeze_like
from helpers.odes.tableau import Row, Tableau


@dataclass(frozen=True, eq=False)
class ExplicitStepper:
    """One explicit Runge–Kutta method on one field.

    Parameters
    ----------
    field : callable
        f.
    tableau : Tableau
        The method.
    compiled : bool
        Whether torch.compile compiles the step, and the field in it.
    breaks : Breaks, optional
        Where the field may jump; no step leads across. A step's last slope is then not the next one's first.
    """

    field: Field
    tableau: Tableau
    compiled: bool = False
    breaks: "Breaks | None" = None

    @property
    def reuses_slope(self) -> bool:
        """Whether the last slope of a step is the first of the next."""
        return self.tableau.first_same_as_last and self.breaks is None

    def __call__(self, state: State) -> Step:
        """Try one step of every sample from where it stands."""
        step = compile_function(take_step) if self.compiled else take_step
        slope = state.slope if self.breaks is None else None
        field = self.field_between(state.t, state.t_next)
        return step(field, self.tableau, state.t, state.y, state.h, slope)

    def field_between(self, t: Tensor, t_next: Tensor) -> Field:
        """The field as it is within a step."""
        return self.field if self.breaks is None else self.breaks.one_sided(self.field, t, t_next)

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """h k_i of the further stages that the tableau's dense output needs."""
        tableau, field = self.tableau, self.field_between(t, t + h)
        stages = add_stages(field, tableau.dense_c, tableau.dense_a, t, y, h, increments)[0]
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
        slope = first_slope(field, t, y)
    first = (unsqueeze_like(h, y).to(y.dtype) * slope,)
    increments, y_next, slope = add_stages(field, tableau.c[1:], tableau.a, t, y, h, first)
    if not tableau.first_same_as_last:
        y_next, slope = combination(tableau.b, increments, y), None
    with torch.no_grad():
        errors = tuple(error_estimate(row, increments, y_next) for row in tableau.error)
    return Step(y_next, slope, increments, errors)


def first_slope(field: Field, t: Tensor, y: Tensor) -> Tensor:
    """k₁ = f(t, y). A field may write into what it gets, so it gets copies of what others read."""
    return field(t.to(y.dtype, copy=True), y.clone())


def add_stages(
    field: Field,
    c: Row,
    a: tuple[Row, ...],
    t: Tensor,
    y: Tensor,
    h: Tensor,
    increments: tuple[Tensor, ...],
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Add one stage h f(t + c h, y + Σ_j a_j h k_j) for each row of a; the last stage's state and slope."""
    step_size, state, slope = unsqueeze_like(h, y).to(y.dtype), y, None
    for node, row in zip(c, a, strict=True):
        state = combination(row, increments, y)
        last = len(increments) == len(c)  # y₁, where first same as last
        slope = field(torch.add(t, h, alpha=node).to(y.dtype), state.clone() if last else state)
        increments = (*increments, step_size * slope)
    return increments, state, slope


def combination(weights: Row, increments: Sequence[Tensor], start: Tensor) -> Tensor:
    """start + Σ_i w_i d_i; a stage of weight 0 takes no part."""
    total = None
    for weight, increment in zip(weights, increments, strict=True):
        if weight and total is None:
            total = torch.add(start, increment, alpha=weight)
        elif weight:
            total.add_(increment, alpha=weight)
    return total


def error_estimate(weights: Row, increments: Sequence[Tensor], y_next: Tensor) -> Tensor:
    """Σ_i e_i d_i. Stages of weight 0 take part, and y₁ too: 0 · ∞ = NaN, so that no infinity gets by."""
    error = 0.0 * y_next
    for weight, increment in zip(weights, increments, strict=True):
        error.add_(increment, alpha=weight)
    return error


MARGIN = 8
"""Units in the last place of a break's time by which a step keeps away from it."""


@dataclass(frozen=True, eq=False)
class Breaks:
    """Times at which a field may jump. Steps begin and end there, and see it only from their own side.

    Attributes
    ----------
    times : Tensor (B, K), float64
        In increasing order.
    low, high : Tensor (B, K + 1), float64
        The first and the last time at which the field is asked between two breaks.
    """

    times: Tensor
    low: Tensor
    high: Tensor

    def one_sided(self, field: Field, t: Tensor, t_next: Tensor) -> "OneSided":
        """The field between the two breaks that a step from t to t_next lies between."""
        piece = torch.searchsorted(self.times, torch.lerp(t, t_next, 0.5)[:, None])
        return OneSided(field, self.low.gather(1, piece)[:, 0], self.high.gather(1, piece)[:, 0])


@dataclass(frozen=True, eq=False)
class OneSided:
    """A field whose time stays between `low` and `high`, (B,) each."""

    field: Field
    low: Tensor
    high: Tensor

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """f(t, y), at the nearest time within."""
        return self.field(t.clamp(self.low.to(t.dtype), self.high.to(t.dtype)), y)


def breaks_between(times: Tensor, epsilon: float) -> Breaks:
    """The breaks at `times` (B, K), in order, on a clock of such a relative precision."""
    infinity = times.new_full((len(times), 1), torch.inf)
    gaps = torch.cat((infinity, times.diff(), infinity), 1)  # (B, K + 1)
    gaps = torch.where(gaps > 0, gaps, torch.inf)
    margin = torch.minimum(MARGIN * epsilon * times.abs(), torch.minimum(gaps[:, 1:], gaps[:, :-1]) / 4)
    margin = margin.clamp(min=torch.finfo(torch.float32).tiny)
    return Breaks(times, torch.cat((-infinity, times + margin), 1), torch.cat((times - margin, infinity), 1))
