"""Fixed points followed over a parameter, through folds, by pseudo-arclength continuation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import check_positive_number, check_returns_like, check_whole_number
from helpers.dynamics.bifurcations import Bifurcation, Segment, bifurcations
from helpers.dynamics.curve import Curve
from helpers.dynamics.fixed_points import norm
from helpers.dynamics.systems import System, check_states

LEFT_BOUNDS, MAX_POINTS_REACHED, STEP_UNDERFLOW = "left the bounds", "max_points reached", "step underflow"

MIN_TURN_COSINE = 0.98
"""Least cosine between successive tangents, an angle of 11 degrees; where it is less the step is halved."""

MAX_CORRECTION = 0.25
"""Share of the step by which a point may be corrected; farther away may lie another branch."""

MIN_STEP = 1e-6
"""Share of the largest step below which a branch is taken to end."""

START_CORRECTIONS = 4
"""Times eight Newton steps from the start to the first point."""


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
        `left the bounds` (the last point is the first outside), `max_points reached`, or
        `step underflow`: no further point was found, for example where the branch itself ends.
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

    Each branch is followed by its own arclength s in (h, p), so that it may turn back in p. The step Δs is
    halved where the branch bends by more than 11 degrees or Newton's method fails, and grows by half
    elsewhere, up to `step`. A bifurcation is noticed where dp/ds changes sign or the number of growing
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
        Largest Δs; default a fiftieth of the interval.
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
    low, high = bounds
    step = (high - low) / 50 if step is None else step
    _check(starts, parameter, low, high, direction, step, max_points)
    image = family(torch.full_like(starts[:, 0], parameter)).image(starts)
    check_returns_like("family", image, "its state", starts)
    curve = Curve(family, torch.finfo(starts.dtype).eps ** 0.75)
    points = _first_points(curve, starts, parameter)
    tangents = curve.first_tangent(points, direction)
    path, accepted, found = _follow(curve, points, tangents, step, bounds, max_points)
    eigenvalues = torch.stack([curve.eigenvalues(points) for points in path])  # (N, B, D)
    stable = (curve.system(points).growth(eigenvalues) < 0).all(-1)
    return [
        Branch(
            parameter=(on_branch := path[kept, sample])[:, -1],
            states=on_branch[:, :-1],
            eigenvalues=eigenvalues[kept, sample],
            stable=stable[kept, sample],
            bifurcations=tuple(
                point for index, point in found if index == sample and low <= point.parameter <= high
            ),
            ended=_ending(on_branch[:, -1], bounds, max_points),
        )
        for sample, kept in enumerate(accepted.unbind(1))
    ]


def _follow(
    curve: Curve, points: Tensor, tangents: Tensor, step: float, bounds: tuple[float, float], max_points: int
) -> tuple[Tensor, Tensor, list[tuple[int, Bifurcation]]]:
    """Step along all branches at once, each with its own step size, until every one has ended.

    Returns all points (N, B, D + 1), which of them were new (N, B), and each sample's bifurcations.
    """
    sizes = torch.full_like(points[:, -1], step)
    active = torch.ones_like(sizes, dtype=torch.bool)
    path, accepted_steps, found = [points], [active], []
    while active.any():
        candidates, new_tangents, accepted = _try_step(curve, points, tangents, sizes)
        accepted &= active
        found += bifurcations(Segment(curve, points, candidates, tangents, new_tangents), accepted)
        points = torch.where(accepted[:, None], candidates, points)
        tangents = torch.where(accepted[:, None], new_tangents, tangents)
        sizes = torch.where(accepted, (1.5 * sizes).clamp(max=step), sizes / 2)
        path.append(points)
        accepted_steps.append(accepted)
        inside = (points[:, -1] >= bounds[0]) & (points[:, -1] <= bounds[1])
        unfinished = torch.stack(accepted_steps).sum(0) < max_points
        active = active & inside & unfinished & (sizes > MIN_STEP * step)
    return torch.stack(path), torch.stack(accepted_steps), found


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


def _first_points(curve: Curve, starts: Tensor, parameter: float) -> Tensor:
    """Bring each start onto its curve at the first parameter."""
    begin = torch.cat((starts, torch.full_like(starts[:, :1], parameter)), dim=-1)
    across = torch.zeros_like(begin)
    across[:, -1] = 1
    for _ in range(START_CORRECTIONS):
        begin, on_curve = curve.correct(begin, across)
    if not on_curve.all():
        sample = (~on_curve).nonzero()[0].item()
        residual = norm(curve.defect(begin))[sample].item()
        raise ValueError(
            f"starts must lie near fixed points at parameter {parameter}: from starts[{sample}] Newton's "
            f"method left ‖F‖ = {residual:.2g}; fixed_points finds starts"
        )
    return begin


def _check(
    starts: Tensor, parameter: float, low: float, high: float, direction: int, step: float, max_points: int
) -> None:
    check_states("starts", starts)
    if not low < high:
        raise ValueError(f"bounds must be (low, high) with low < high: got ({low}, {high})")
    if not low <= parameter <= high:
        raise ValueError(f"parameter must lie within bounds ({low}, {high}): got {parameter}")
    if direction not in (1, -1):
        raise ValueError(f"direction must be 1 or -1: got {direction}")
    check_positive_number("step", step)
    check_whole_number("max_points", max_points, least=2)
