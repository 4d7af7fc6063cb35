"""Fixed points followed over a parameter, through folds, by pseudo-arclength continuation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import (
    check_finite_number,
    check_positive_number,
    check_whole_number,
    is_finite_number,
)
from helpers.dynamics.bifurcations import Bifurcation, Segment, bifurcations
from helpers.dynamics.curve import Curve, curve_of
from helpers.dynamics.fixed_points import norm
from helpers.dynamics.systems import System, check_states, check_system

LEFT_BOUNDS, MAX_POINTS_REACHED, STEP_UNDERFLOW = "left the bounds", "max_points reached", "step underflow"
CLOSED = "closed on itself"

MIN_TURN_COSINE = 0.98
"""Least cosine between successive tangents, an angle of 11 degrees; where it is less the step is halved."""

MAX_CORRECTION = 0.25
"""Share of the step by which a point may be corrected; farther away may lie another branch."""

MIN_STEP = 1e-6
"""Share of the largest step below which a branch is taken to end."""

START_CORRECTIONS = 4
"""Times eight Newton steps from the start to the first point."""

CROSSING_OFFSET = 0.01
"""Share of the step by which a branch begins before its first parameter, if that is where branches cross."""


@dataclass(frozen=True, eq=False)
class Branch:
    """A curve of fixed points over a parameter, in the order in which it was followed.

    Attributes
    ----------
    parameter : Tensor (S,)
        p at each point.
    states : Tensor (S, D)
        The fixed points.
    eigenvalues : Tensor (S, D), complex
        Of the Jacobian; the fastest growing first.
    stable : Tensor (S,), bool
        Where every eigenvector decays.
    bifurcations : tuple of Bifurcation
        In the order in which they were met.
    ended : str
        `left the bounds` (the last point is the first outside), `closed on itself` (an isola; the last point
        is the first again), `max_points reached`, or `step underflow`: no further point was found, for
        example where the branch itself ends.
    """

    parameter: Tensor
    states: Tensor
    eigenvalues: Tensor
    stable: Tensor
    bifurcations: tuple[Bifurcation, ...]
    ended: str


@torch.no_grad()
def continuation(
    family: Callable[[Tensor], System],
    starts: Tensor,
    parameter: float,
    bounds: tuple[float, float],
    *,
    direction: int = 1,
    step: float | None = None,
    max_points: int = 500,
) -> list[Branch]:
    """Follow a fixed point from each start as a parameter changes, around folds, and name what it meets.

    ::

        F(h, p) = 0,   (h, p) ← corrected onto it from (h, p) + Δs τ, within the plane across τ

    Each branch is followed by its own arclength s in (h, p), so that it may turn back in p. States count
    there in proportion to how far the Jacobian stays much the same, so that their unit does not matter. The
    step Δs is halved where the branch bends by more than 11 degrees or Newton's method fails, and grows by
    half elsewhere, up to `step`. A bifurcation is noticed where dp/ds changes sign or the number of growing
    eigenvectors changes from one point to the next, and located between them; two opposite changes within one
    step are missed: take smaller steps.

    Parameters
    ----------
    family : callable
        From p (B,), one for each start, to a Map or a Flow of states (B, D); for example
        `lambda alpha: Flow(ToggleSwitch(alpha))`, `lambda w: Map(lambda h: torch.tanh(w[:, None] * h))`.
    starts : Tensor (B, D)
        Near a fixed point at the first parameter; float64 is recommended.
    parameter : float
        Where to begin.
    bounds : (float, float)
        A branch ends where p leaves this interval.
    direction : 1 or -1
        Whether p rises or falls at first.
    step : float, optional
        Largest Δs, in the unit of p; default a fiftieth of the interval.
    max_points : int
        Most points on a branch.

    Returns
    -------
    list of Branch
        One for each start.

    Raises
    ------
    ValueError
        If an argument does not fit, or Newton's method finds no fixed point from a start: it says which.

    Source: Keller (1977), Numerical solution of bifurcation and nonlinear eigenvalue problems, in Rabinowitz
    (ed.), Applications of bifurcation theory; normal forms as in Kuznetsov (2004), Elements of applied
    bifurcation theory.
    """
    _check(family, starts, parameter, bounds, direction, step, max_points)
    low, high = bounds
    step = 1 / 50 if step is None else step / (high - low)
    curve = curve_of(family, starts, parameter, bounds)
    points, tangents = _first_points(curve, starts, parameter, direction * step)
    path, accepted, closed, found = _follow(curve, points, tangents, step, bounds, max_points)
    eigenvalues = torch.stack([curve.eigenvalues(points) for points in path])  # (N, B, D)
    stable = (curve.system(points).growth(eigenvalues) < 0).all(-1)
    parameters, states = curve.parameters(path), curve.states(path)
    return [
        Branch(
            parameter=parameters[kept, sample],
            states=states[kept, sample],
            eigenvalues=eigenvalues[kept, sample],
            stable=stable[kept, sample],
            bifurcations=tuple(
                point for index, point in found if index == sample and low <= point.parameter <= high
            ),
            ended=CLOSED if closed[sample] else _ending(parameters[kept, sample], bounds, max_points),
        )
        for sample, kept in enumerate(accepted.unbind(1))
    ]


def _follow(
    curve: Curve, points: Tensor, tangents: Tensor, step: float, bounds: tuple[float, float], max_points: int
) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, Bifurcation]]]:
    """Step along all branches at once, each with its own step size, until every one has ended.

    Returns all points (N, B, D + 1), which of them were new (N, B), which branches closed on themselves (B,),
    and each sample's bifurcations.
    """
    first, first_tangents = points, tangents
    sizes = torch.full_like(points[:, -1], step)
    active = torch.ones_like(sizes, dtype=torch.bool)
    path, accepted_steps, found, closed = [points], [active], [], ~active
    while active.any():
        candidates, new_tangents, accepted = _try_step(curve, points, tangents, sizes)
        accepted &= active
        if len(path) > 2:
            closed = closed | accepted & _passes(first, first_tangents, points, candidates)
            candidates = torch.where(closed[:, None], first, candidates)
            new_tangents = torch.where(closed[:, None], first_tangents, new_tangents)
        found += bifurcations(Segment(curve, points, candidates, tangents, new_tangents), accepted)
        points = torch.where(accepted[:, None], candidates, points)
        tangents = torch.where(accepted[:, None], new_tangents, tangents)
        sizes = torch.where(accepted, (1.5 * sizes).clamp(max=step), sizes / 2)
        path.append(points)
        accepted_steps.append(accepted)
        parameters = curve.parameters(points)
        inside = (parameters >= bounds[0]) & (parameters <= bounds[1])
        unfinished = torch.stack(accepted_steps).sum(0) < max_points
        active = active & inside & unfinished & ~closed & (sizes > MIN_STEP * step)
    return torch.stack(path), torch.stack(accepted_steps), closed, found


def _passes(first: Tensor, tangents: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Where a segment (B,) passes the first point of its branch, as one does that closes on itself."""
    before, after = (((point - first) * tangents).sum(-1) for point in (begin, end))
    crosses = (before < 0) & (after >= 0)
    share = (before / (before - after)).where(crosses, 0.0)[:, None]
    return crosses & (norm(begin + share * (end - begin) - first) < MAX_CORRECTION * norm(end - begin))


def _try_step(curve: Curve, points: Tensor, tangents: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The next point of each branch, its tangent, and whether both can be trusted to be of that branch."""
    predicted = points + sizes[:, None] * tangents
    candidates, on_curve = curve.correct(predicted, tangents)
    new_tangents = curve.tangent(candidates, tangents)
    straight = (new_tangents * tangents).sum(-1) > MIN_TURN_COSINE
    near = norm(candidates - predicted) < MAX_CORRECTION * sizes
    return candidates, new_tangents, on_curve & straight & near


def _ending(parameter: Tensor, bounds: tuple[float, float], max_points: int) -> str:
    if not bounds[0] <= parameter[-1] <= bounds[1]:
        return LEFT_BOUNDS
    return MAX_POINTS_REACHED if len(parameter) == max_points else STEP_UNDERFLOW


def _first_points(curve: Curve, starts: Tensor, parameter: float, step: float) -> tuple[Tensor, Tensor]:
    """Bring each start onto its curve at the first parameter; and the tangents there.

    Where branches cross there is no one tangent: there the first point is a little before the parameter.
    """
    begin = torch.cat((starts, torch.full_like(starts[:, :1], parameter)), dim=-1) / curve.units
    points, on_curve = _correct_at_parameter(curve, begin)
    if not on_curve.all():
        sample = (~on_curve).nonzero()[0].item()
        residual = (norm(curve.defect(points)) * curve.defect_unit[:, 0])[sample].item()
        raise ValueError(
            f"starts must lie near fixed points at parameter {parameter}: from starts[{sample}] Newton's "
            f"method left ‖F‖ = {residual:.2g}; fixed_points finds starts"
        )
    back = points.clone()
    back[:, -1] -= CROSSING_OFFSET * step
    back, found = _correct_at_parameter(curve, back)
    crossing = curve.is_singular(points) & found & (norm(back - points) < abs(step))
    points = torch.where(crossing[:, None], back, points)
    return points, curve.first_tangent(points, 1 if step > 0 else -1)


def _correct_at_parameter(curve: Curve, points: Tensor) -> tuple[Tensor, Tensor]:
    """The points brought onto the curve without a change of the parameter, and where that did it (B,)."""
    across = torch.zeros_like(points)
    across[:, -1] = 1
    for _ in range(START_CORRECTIONS):
        points, on_curve = curve.correct(points, across)
    return points, on_curve


def _check(
    family: Callable[[Tensor], System],
    starts: Tensor,
    parameter: float,
    bounds: tuple[float, float],
    direction: int,
    step: float | None,
    max_points: int,
) -> None:
    check_states("starts", starts)
    if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(map(is_finite_number, bounds)):
        raise ValueError(f"bounds must be (low, high), two finite numbers: got {bounds!r}")
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds must be (low, high) with low < high: got ({low}, {high})")
    check_finite_number("parameter", parameter)
    if not low <= parameter <= high:
        raise ValueError(f"parameter must lie within bounds ({low}, {high}): got {parameter}")
    if direction not in (1, -1):
        raise ValueError(f"direction must be 1 or -1: got {direction}")
    if step is not None:
        check_positive_number("step", step)
    check_whole_number("max_points", max_points, least=2)
    check_system(family(torch.full_like(starts[:, 0], parameter)), starts, name="family")
