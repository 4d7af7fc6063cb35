"""The stepper: from a tableau to one step of every sample. It knows no tolerance and no output time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature

import torch
from torch import Tensor

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
    """

    field: Field
    tableau: Tableau
    compiled: bool = False

    def __call__(self, state: State) -> Step:
        """Try one step of every sample from where it stands."""
        step = compile_function(take_step) if self.compiled else take_step
        return step(self.field, self.tableau, state.t, state.y, state.h, state.slope)

    def dense_stages(
        self, t: Tensor, y: Tensor, h: Tensor, increments: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """h k_i of the further stages that the tableau's dense output needs."""
        tableau = self.tableau
        stages = add_stages(self.field, tableau.dense_c, tableau.dense_a, t, y, h, increments)[0]
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
    """k₁ = f(t, y)."""
    return field(t.to(y.dtype), y)


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


MAX_VARIANTS = 64
"""After so many fields, shapes, dtypes and gradient modes, torch runs further ones uncompiled, and warns.

A torch whose `compile` does not know these options, such as 2.8, does so after its own number, 8.
"""


@cache
def compile_function(function: Callable) -> Callable:
    """A function, compiled when first called with a field, method, shape or dtype.

    Raises
    ------
    ValueError
        If there is no C++ compiler, which torch.compile needs on a CPU and around the kernels of a GPU.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler  # slow to import, and seldom wanted
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ValueError(
            "compile=True needs a C++ compiler, and none was found: install g++ or clang++, or name one "
            "in the environment variable CXX"
        ) from error
    wishes = {"isolate_recompiles": True, "recompile_limit": MAX_VARIANTS}
    known = signature(torch.compile).parameters
    options = {name: wish for name, wish in wishes.items() if name in known}
    return torch.compile(function, dynamic=False, **options)
