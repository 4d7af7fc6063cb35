"""Where a map or a flow stands still: fixed points found from many starts, and the merely slow told apart."""

from dataclasses import dataclass, field
from itertools import chain, repeat

import torch
from torch import Tensor

from helpers.arguments import check_positive_number, check_whole_number
from helpers.dynamics.systems import System, check_states, check_system, length
from helpers.dynamics.units import Units, units_of

FIXED, SLOW, NOT_CONVERGED = "fixed point", "slow point", "not converged"
STABLE, UNSTABLE, SADDLE, MARGINAL = "stable", "unstable", "saddle", "marginal"

FIRST_LOOKS, STEPS_PER_LOOK = (8, 2, 4), 8
"""Steps before each of the first looks at which samples have come to rest, and before each of the others.

Most settle within ten; a look costs as much as half a step.
"""

MAX_DAMPING = 1e12
"""A sample that takes no step with less damping than this lies at a minimum of ‖F‖, up to round-off."""


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """The fixed points of a system, each once, and what became of every start.

    Attributes
    ----------
    states : Tensor (N, D)
        The fixed points, in the order of their first variable (then the second, and so on).
    residuals : Tensor (N,)
        ‖step(h) - h‖ of a map, ‖f(y)‖ of a flow.
    eigenvalues : Tensor (N, D), complex
        Of the Jacobian; the fastest growing first.
    stability : tuple of N str
        `stable`, `unstable`, `saddle` or `marginal` (on the boundary: linearisation cannot tell).
    slow_states : Tensor (M, D)
        Places where the speed is least but not zero: the ghosts of fixed points that are not there.
    slow_speeds : Tensor (M,)
        ‖step(h) - h‖ or ‖f(y)‖ there.
    outcomes : tuple of B str
        For every start: `fixed point`, `slow point` or `not converged`.
    """

    states: Tensor
    residuals: Tensor
    eigenvalues: Tensor
    stability: tuple[str, ...]
    slow_states: Tensor
    slow_speeds: Tensor
    outcomes: tuple[str, ...] = field(repr=False)


@torch.no_grad()
def fixed_points(
    system: System,
    starts: Tensor,
    *,
    tolerance: float | None = None,
    same_within: float = 1e-3,
    max_steps: int = 400,
) -> FixedPoints:
    """Find the fixed points of a map or a flow by damped Newton steps from many starts at once.

    ::

        defect F(h) = step(h) - h   or   f(y)
        (JᵀJ + μ ‖F‖ 1) d = -Jᵀ F,   h ← h + d   where that lowers ‖F‖
        ρ = (‖F(h)‖² - ‖F(h + d)‖²) / (‖F‖² - ‖F + J d‖²),   μ ← μ/4 where ρ > ¾, 4μ where ρ < ¼

    Near a fixed point the damping μ ‖F‖ vanishes and these are Newton's steps. Where ‖F‖ has a minimum that
    is not zero, as just beyond a fold, they come to rest on it: a slow point, reported as such.

    Variables are measured by the size of the starts, F by what J makes of it, so that units of states and
    time do not matter.

    Only fixed points that some start leads to are found: give starts all over where they are looked for.

    Parameters
    ----------
    system : Map or Flow
        Not driven. A network under constant input is `Map(lambda h: step(h, x))`.
    starts : Tensor (B, D)
        Where to start. float64 is recommended.
    tolerance : float, optional
        At a fixed point each F_i is at most this share of Σ_j |J_ij| |h_j|, or of that sum at a typical start
        (of a map, with |h_i|). Default: ε^¾ of the dtype, 2e-12 in float64.
    same_within : float
        Fixed points closer than this, times the sizes of starts and point, are one. A pitchfork point itself,
        a triple root, is found to about ε^¼ of the starts' size only, 1e-4 in float64.
    max_steps : int
        A start that needs more is reported as not converged.

    Raises
    ------
    ValueError
        If `starts` are not finite floating-point (B, D), the system returns another shape, dtype or
        device, or `tolerance`, `same_within` or `max_steps` is not positive.

    Source: Levenberg-Marquardt with damping in proportion to ‖F‖: Fan and Yuan (2005), On the quadratic
    convergence of the Levenberg-Marquardt method without nonsingularity assumption, Computing 74. Slow
    points: Sussillo and Barak (2013), Opening the black box, Neural Computation 25.
    """
    check_states("starts", starts)
    check_system(system, starts)
    tolerance = torch.finfo(starts.dtype).eps ** 0.75 if tolerance is None else tolerance
    check_positive_number("tolerance", tolerance), check_positive_number("same_within", same_within)
    check_whole_number("max_steps", max_steps)
    units = units_of(system, starts)
    scaled, is_fixed, is_slow = _minimise_norm(units, starts / units.states, tolerance, max_steps)
    states = scaled * units.states
    values = system.defect(states)
    fixed = _distinct(scaled, values, is_fixed, same_within)
    slow = _distinct(scaled, values, is_slow, same_within)
    eigenvalues = eigenvalues_by_growth(system, system.jacobian(states[fixed]))
    return FixedPoints(
        states=states[fixed],
        residuals=length(values[fixed]),
        eigenvalues=eigenvalues,
        stability=_stability_labels(system.growth(eigenvalues), units.least_growth(eigenvalues)),
        slow_states=states[slow],
        slow_speeds=length(values[slow]),
        outcomes=_outcomes(is_fixed, is_slow),
    )


def _distinct(states: Tensor, values: Tensor, chosen: Tensor, within: float) -> Tensor:
    """Indices of the chosen states, one of each cluster, the one of least defect; sorted by variable."""
    indices = chosen.nonzero().squeeze(-1)
    indices = indices[length(values[indices]).argsort(stable=True)]
    candidates = states[indices]
    distances = torch.cdist(candidates, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    same = distances <= within * (1 + candidates.abs().amax(-1))[:, None]
    is_first = ~same.tril(-1).any(-1)
    return indices[is_first][_by_first_variable(states[indices[is_first]], within)]


def _by_first_variable(states: Tensor, within: float) -> Tensor:
    """The order of states by their first variable, or the next where those are equal to `within`."""
    order = torch.arange(len(states), device=states.device)
    for column in (states / within).round().unbind(-1)[::-1]:
        order = order[column[order].argsort(stable=True)]
    return order


def _outcomes(is_fixed: Tensor, is_slow: Tensor) -> tuple[str, ...]:
    outcome = torch.where(is_fixed, 0, torch.where(is_slow, 1, 2))
    return tuple((FIXED, SLOW, NOT_CONVERGED)[index] for index in outcome.tolist())


def _minimise_norm(
    units: Units, starts: Tensor, tolerance: float, max_steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """From each start (B, D), descend to a nearby zero of F, or else minimum of ‖F‖.

    Returns where each sample is after at most `max_steps`, and whether that is a zero, or a minimum, (B,).
    """
    states, damping = starts.clone(), torch.ones_like(starts[:, 0])
    is_fixed, at_rest = (
        torch.zeros_like(damping, dtype=torch.bool),
        torch.zeros_like(damping, dtype=torch.bool),
    )
    moving = torch.arange(len(starts), device=starts.device)
    looks, left = chain(FIRST_LOOKS, repeat(STEPS_PER_LOOK)), max_steps
    while left and len(moving):
        left -= (steps := min(left, next(looks)))
        now, values, damping[moving] = _descend(units, states[moving], damping[moving], steps)
        states[moving] = now
        is_fixed[moving] = units.is_zero(now, values, tolerance)
        at_rest[moving] = (damping[moving] > MAX_DAMPING) & values.isfinite().all(-1)
        moving = (~is_fixed & (damping <= MAX_DAMPING)).nonzero().squeeze(-1)
    return states, is_fixed, at_rest & ~is_fixed


def _descend(units: Units, states: Tensor, damping: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Take damped steps towards a zero of F, and adapt each sample's damping μ (B,).

    Returns the states, F there, and μ.

    ::

        (JᵀJ + μ ‖F‖ 1) d = -Jᵀ F,   h ← h + d   where that lowers ‖F‖
        ρ = (‖F(h)‖² - ‖F(h + d)‖²) / (‖F‖² - ‖F + J d‖²),   μ ← μ/4 where ρ > ¾, 4μ where ρ < ¼
    """
    values = units.defect(states)
    square = torch.linalg.vecdot(values, values)
    for _ in range(steps):
        step, promise = _damped_newton_step(values, units.defect_jacobian(states), damping * square.sqrt())
        candidates = states + step
        candidate_values = units.defect(candidates)
        candidate_square = torch.linalg.vecdot(candidate_values, candidate_values)
        rho = (square - candidate_square) / promise
        lower = candidate_square < square  # False for NaN
        states = torch.where(lower[:, None], candidates, states)
        values = torch.where(lower[:, None], candidate_values, values)
        square = torch.where(lower, candidate_square, square)
        damping = torch.where(rho > 0.75, damping / 4, torch.where(rho >= 0.25, damping, 4 * damping))
    return states, values, damping


def norm(values: Tensor) -> Tensor:
    """Euclidean norm (B,) of the rows of (B, D)."""
    return torch.linalg.vector_norm(values, dim=-1)


def _damped_newton_step(values: Tensor, matrices: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """d (B, D) of (JᵀJ + ridge 1) d = -Jᵀ F, and the fall of ‖F + J d‖² (B,) that it promises.

    ::

        ‖F‖² - ‖F + J d‖² = d · (ridge d - Jᵀ F)
    """
    transposed = matrices.mT
    squares = transposed @ matrices
    squares.diagonal(dim1=-2, dim2=-1).add_(ridge[:, None])
    downhill = -transposed @ values[..., None]
    step = torch.cholesky_solve(downhill, torch.linalg.cholesky_ex(squares).L)
    step, downhill = step.squeeze(-1), downhill.squeeze(-1)
    return step, torch.linalg.vecdot(step, torch.addcmul(downhill, ridge[:, None], step))


def eigenvalues_by_growth(system: System, jacobian: Tensor) -> Tensor:
    """Complex eigenvalues (B, D) of Jacobians (B, D, D), the fastest growing first."""
    eigenvalues = torch.linalg.eigvals(jacobian)
    order = system.growth(eigenvalues).argsort(dim=-1, descending=True, stable=True)
    return eigenvalues.gather(-1, order)


def _stability_labels(growth: Tensor, tolerance: Tensor) -> tuple[str, ...]:
    """Name each fixed point by the growth of its eigenvectors (B, D).

    `stable` where all decay, `unstable` where all grow, `saddle` where some do; `marginal` where one
    does neither (|growth| within the tolerance (B, 1), which round-off could turn either way) and none grows.
    """
    grows, decays = growth > tolerance, growth < -tolerance
    return tuple(map(_label, grows.any(-1).tolist(), grows.all(-1).tolist(), decays.all(-1).tolist()))


def _label(any_grows: bool, all_grow: bool, all_decay: bool) -> str:
    if all_decay:
        return STABLE
    if all_grow:
        return UNSTABLE
    return SADDLE if any_grows else MARGINAL
