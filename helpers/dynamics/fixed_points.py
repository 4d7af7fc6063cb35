"""Where a map or a flow stands still: fixed points found from many starts, and the merely slow told apart."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.dynamics.arguments import check_count, check_positive, check_same_shape, check_states
from helpers.dynamics.newton import is_zero, least_norm, norm, scale
from helpers.dynamics.stability import eigenvalues_by_growth, stability_labels
from helpers.dynamics.systems import System

FIXED, SLOW, NOT_CONVERGED = "fixed point", "slow point", "not converged"


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
        (JᵀJ + μ ‖F‖ 1) d = -Jᵀ F,   h ← h + d   where that lowers ‖F‖; if so μ ← μ/4, else μ ← 4μ

    Near a fixed point the damping μ ‖F‖ vanishes and these are Newton's steps. Where ‖F‖ has a minimum that
    is not zero, as just beyond a fold, they come to rest on it: a slow point, reported as such.

    Only fixed points that some start leads to are found: give starts all over where they are looked for.

    Parameters
    ----------
    system : Map or Flow
        Not driven. A network under constant input is `Map(lambda h: step(h, x))`.
    starts : Tensor (B, D)
        Where to start. float64 is recommended.
    tolerance : float, optional
        A fixed point has ‖F‖ ≤ tolerance · (1 + max |h|). Default: ε^¾ of the dtype, 2e-12 in float64.
    same_within : float
        Fixed points closer than this, times 1 + max |h|, are one. A pitchfork point itself, a triple root, is
        found to about ε^¼ only, 1e-4 in float64.
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
    check_same_shape("system", system.image(starts), starts)
    tolerance = torch.finfo(starts.dtype).eps ** 0.75 if tolerance is None else tolerance
    check_positive("tolerance", tolerance), check_positive("same_within", same_within)
    check_count("max_steps", max_steps)
    states, at_rest = least_norm(system.defect, system.defect_jacobian, starts, tolerance, max_steps)
    values = system.defect(states)
    is_fixed = is_zero(states, values, tolerance)
    is_slow = at_rest & ~is_fixed
    fixed = _distinct(states, values, is_fixed, same_within)
    slow = _distinct(states, values, is_slow, same_within)
    eigenvalues = eigenvalues_by_growth(system, system.jacobian(states[fixed]))
    return FixedPoints(
        states=states[fixed],
        residuals=norm(values[fixed]),
        eigenvalues=eigenvalues,
        stability=stability_labels(system.growth(eigenvalues)),
        slow_states=states[slow],
        slow_speeds=norm(values[slow]),
        outcomes=_outcomes(is_fixed, is_slow),
    )


def _distinct(states: Tensor, values: Tensor, chosen: Tensor, within: float) -> Tensor:
    """Indices of the chosen states, one of each cluster, the one of least defect; sorted by variable."""
    indices = chosen.nonzero().squeeze(-1)
    indices = indices[norm(values[indices]).argsort(stable=True)]
    candidates = states[indices]
    distances = torch.cdist(candidates, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    same = distances <= within * scale(candidates)[:, None]
    is_first = ~same.tril(-1).any(-1)
    return indices[is_first][_by_first_variable(states[indices[is_first]], within)]


def _by_first_variable(states: Tensor, within: float) -> Tensor:
    """The order of states by their first variable; where that is equal to `within`, by their second; …"""
    order = torch.arange(len(states), device=states.device)
    for column in (states / within).round().unbind(-1)[::-1]:
        order = order[column[order].argsort(stable=True)]
    return order


def _outcomes(is_fixed: Tensor, is_slow: Tensor) -> tuple[str, ...]:
    outcome = torch.where(is_fixed, 0, torch.where(is_slow, 1, 2))
    return tuple((FIXED, SLOW, NOT_CONVERGED)[index] for index in outcome.tolist())
