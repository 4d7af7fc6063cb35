"""The one protocol: a map h ← step(h) or a flow y' = f(t, y), with its Jacobian.

A function of states (B, D) becomes a system by saying which of the two it is::

    Map(lambda h: torch.tanh(h @ weight.T))          # a map
    Map(lambda h, x: torch.tanh(h @ weight.T + x))   # a map driven by inputs x_t (B, I)
    Flow(Lorenz())                                   # a flow

Both answer the questions that the tools of this room ask: where the state does not change (`defect`), how a
small displacement changes (`jacobian`), how fast it grows along each eigenvector (`growth`), and what it is
after some time (a map's own step; a flow's `every(dt)`). One row of a batch must not depend on another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import (
    check_finite,
    check_floating,
    check_positive_number,
    check_returns_like,
    check_single_or_double,
)

PROBE_TIMES = (0.7548776662466927, 13.324717957244746, 4321.5698402909)
"""Times of no common period at which a field is compared with itself at 0."""

MAX_PROBED_BREAKS = 100
"""Most of the times at which a field says that it jumps that it is asked at."""


@dataclass(frozen=True, eq=False)
class Map:
    """A state that jumps: h_{t+1} = step(h_t), or step(h_t, x_t) where inputs drive it.

    Parameters
    ----------
    step : callable
        From h (B, D), and x (B, I) where driven, to the next h (B, D); row by row.
    derivative : callable, optional
        ∂step/∂h (B, D, D) of the same arguments, for example diag(1 - h'²) W, h' = step(h), for a tanh
        network. Where it is left out, torch.func derives it from `step`, whose
        operations torch.func must know how to derive and to repeat over a further dimension.
    """

    step: Callable[..., Tensor]
    derivative: Callable[..., Tensor] | None = None

    def image(self, state: Tensor, *inputs: Tensor) -> Tensor:
        """step(h) or step(h, x) (B, D), as the caller's function gives it."""
        return self.step(state, *inputs)

    def defect(self, state: Tensor) -> Tensor:
        """step(h) - h (B, D), zero at a fixed point."""
        return self.step(state) - state

    def jacobian(self, state: Tensor, *inputs: Tensor) -> Tensor:
        """∂step/∂h (B, D, D)."""
        if self.derivative is not None:
            return self.derivative(state, *inputs)
        return jacobian(lambda h: self.step(h, *inputs), state)

    def defect_jacobian(self, state: Tensor) -> Tensor:
        """∂defect/∂h = J - 1 (B, D, D)."""
        return self.jacobian(state) - identity_like(state)

    def growth(self, eigenvalues: Tensor) -> Tensor:
        """ln |λ|: how fast a displacement grows along an eigenvector, per step; negative where it decays."""
        return eigenvalues.abs().log()


@dataclass(frozen=True, eq=False)
class Flow:
    """A state that moves: y' = f(t, y).

    Parameters
    ----------
    field : callable
        f, from t (scalar or (B,)) and y (B, D) to y' (B, D); row by row. Fixed points, branches
        and Lyapunov exponents are those of a field that does not depend on t; others are refused.
    derivative : callable, optional
        ∂f/∂y (B, D, D) of the same arguments. Where it is left out, the field's own `jacobian(t, y)` is
        taken, as all of `helpers.systems` have one; failing that, torch.func derives it from `field`.
    """

    field: Callable[[float | Tensor, Tensor], Tensor]
    derivative: Callable[[float | Tensor, Tensor], Tensor] | None = None

    def image(self, state: Tensor) -> Tensor:
        """f(0, y) (B, D), as the caller's function gives it."""
        return self.field(0.0, state)

    def defect(self, state: Tensor) -> Tensor:
        """f(y) (B, D), zero at a fixed point."""
        return self.field(0.0, state)

    def jacobian(self, state: Tensor) -> Tensor:
        """∂f/∂y (B, D, D)."""
        derivative = self.derivative or getattr(self.field, "jacobian", None)
        return derivative(0.0, state) if derivative is not None else jacobian(self.defect, state)

    def defect_jacobian(self, state: Tensor) -> Tensor:
        """∂defect/∂y = J (B, D, D)."""
        return self.jacobian(state)

    def growth(self, eigenvalues: Tensor) -> Tensor:
        """Re λ: how fast a displacement grows along an eigenvector, per unit of time."""
        return eigenvalues.real

    def every(self, dt: float) -> Map:
        """The map from y(t) to y(t + dt): one step of the classical Runge-Kutta method of order 4.

        ::

            k₁ = f(y)   k₂ = f(y + Δt/2 k₁)   k₃ = f(y + Δt/2 k₂)   k₄ = f(y + Δt k₃)
            y ← y + Δt/6 (k₁ + 2 k₂ + 2 k₃ + k₄)

        Its derivative is that of the step itself: the same method applied to V' = J(y) V from V = 1.
        """

        def slopes(state: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            second = state + dt / 2 * (k1 := self.defect(state))
            third = state + dt / 2 * (k2 := self.defect(second))
            fourth = state + dt * (k3 := self.defect(third))
            return (state, second, third, fourth), (k1, k2, k3, self.defect(fourth))

        def step(state: Tensor) -> Tensor:
            _, (k1, k2, k3, k4) = slopes(state)
            return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        def derivative(state: Tensor) -> Tensor:
            one = identity_like(state)
            j1, j2, j3, j4 = (self.jacobian(stage) for stage in slopes(state)[0])
            k2 = j2 @ (one + dt / 2 * j1)
            k3 = j3 @ (one + dt / 2 * k2)
            k4 = j4 @ (one + dt * k3)
            return one + dt / 6 * (j1 + 2 * k2 + 2 * k3 + k4)

        return Map(step, derivative)


System = Map | Flow


def jacobian(function: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
    """∂function/∂state (B, D_out, D) of a function that takes each row of `state` (B, D) by itself.

    One backward pass for all D_out entries and all rows at once.

    Raises
    ------
    ValueError
        If `state` is no floating-point tensor.
    """
    check_floating("state", state)
    value, pullback = torch.func.vjp(function, state)
    entries = identity_like(value)

    def gradient(entry: Tensor) -> Tensor:
        return pullback(torch.zeros_like(value) + entry)[0]

    return torch.func.vmap(gradient)(entries).movedim(0, -2)


def identity_like(state: Tensor) -> Tensor:
    """The identity matrix (D, D) for states (B, D)."""
    return torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)


def semigroup_defect(step: Callable[[Tensor, float], Tensor], states: Tensor, dt: float) -> Tensor:
    """How far a step of 2Δt ends from two steps of Δt.

    ::

        defect = ‖Φ_2Δt(y) - Φ_Δt(Φ_Δt(y))‖

    Zero for the flow of an autonomous differential equation, whatever Δt. For a solver of order p it falls as
    Δt^(p+1): for Euler's method it is Δt² ‖J f‖ to leading order. For a trained map that takes Δt as an
    input, it tells how far from a flow that map is.

    Parameters
    ----------
    step : callable
        Φ: from states (B, D) and a duration to the states (B, D) after it.
    states : Tensor (B, D)
        Where to begin.
    dt : float
        Δt, in the unit of time of `step`.

    Returns
    -------
    Tensor (B,)
        The defect of each state, in the unit of the states.

    Raises
    ------
    ValueError
        If `states` are not finite floating-point (B, D), `dt` is not positive, or `step` returns
        another shape, dtype or device.
    """
    check_states("states", states)
    check_positive_number("dt", dt)
    at_once, halfway = step(states, 2 * dt), step(states, dt)
    for after in (at_once, halfway):
        check_returns_like("step", after, "its state", states)
    in_two = step(halfway, dt)
    check_returns_like("step", in_two, "its state", states)
    return length(at_once - in_two)


def length(vectors: Tensor) -> Tensor:
    """Euclidean norm (B,) of the rows of (B, D), right even where its square is no float."""
    unit = vectors.abs().amax(-1, keepdim=True).nan_to_num(1.0, 1.0)
    unit = unit.where(unit > 0, 1.0)
    return torch.linalg.vector_norm(vectors / unit, dim=-1) * unit.squeeze(-1)


def check_system(system: System, states: Tensor, *inputs: Tensor, name: str = "system") -> None:
    """Refuse anything but a Map or a Flow of such states, whose field is the same at all times tried."""
    if not isinstance(system, Map | Flow):
        verb, found = "return" if name == "family" else "be", type(system).__name__
        hint = f"; of a vector field f(t, y) make one by Flow({found}(…))" if callable(system) else ""
        raise ValueError(f"{name} must {verb} a Map or a Flow: got {found}{hint}")
    check_returns_like(name, system.image(states, *inputs), "its state", states)
    if isinstance(system, Flow):
        _check_autonomous(system.field, states)


def _check_autonomous(field: Callable[[float | Tensor, Tensor], Tensor], states: Tensor) -> None:
    """Refuse a field that is not the same at a few times, among them those at which it says that it jumps."""
    at_zero = field(0.0, states)
    breaks = getattr(field, "breaks", None)
    for t in (*PROBE_TIMES, *(() if breaks is None else breaks.unbind(-1)[:MAX_PROBED_BREAKS])):
        if not torch.equal(field(t, states).nan_to_num(), at_zero.nan_to_num()):
            when = f"{t:g}" if isinstance(t, float) or t.ndim == 0 else "a break"
            raise ValueError(
                f"system must not depend on time: its field at t = {when} is not that at t = 0. Take the "
                "phase φ of the drive as one more variable: a Flow of (y, φ), y' = f(φ, y) and φ' = 1"
            )


def check_states(name: str, states: Tensor) -> None:
    """Refuse anything but finite states (B, D) in float32 or float64."""
    check_single_or_double(name, states)
    if states.ndim != 2:
        raise ValueError(f"{name} must have shape (B, D): got shape {tuple(states.shape)}")
    if 0 in states.shape:
        raise ValueError(
            f"{name} must hold at least one state of at least one variable: got {tuple(states.shape)}"
        )
    check_finite(name, states)
