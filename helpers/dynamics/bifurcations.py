"""Where a branch of fixed points changes its nature: found between two of its points, and named."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.dynamics.curve import Curve
from helpers.dynamics.fixed_points import norm
from helpers.dynamics.systems import Map, jacobian

FOLD, PITCHFORK, TRANSCRITICAL = "fold", "pitchfork", "transcritical"
PERIOD_DOUBLING, HOPF, NEIMARK_SACKER = "period doubling", "Hopf", "Neimark-Sacker"

MAX_ROOT_STEPS = 60

ZERO_TOLERANCE = 1e-3
"""Relative size of what would vanish exactly at a point known exactly."""

CROSSING_SHARE = 0.01
"""Share of a segment within which two crossing branches are kept apart."""

SAME_POINT_SHARE = 1e-3
"""A turn and a change of stability closer than this share of a segment are one fold."""


@dataclass(frozen=True, eq=False)
class Bifurcation:
    """A point of a branch where its stability changes, or where it turns back.

    Attributes
    ----------
    kind : str
        `fold`, `pitchfork`, `transcritical`, `period doubling`, `Hopf` or `Neimark-Sacker`.
    parameter : float
        Its place.
    state : Tensor (D,)
        The fixed point there.
    """

    kind: str
    parameter: float
    state: Tensor


@dataclass(frozen=True, eq=False)
class Segment:
    """The piece of each branch between two successive points (B, D + 1), and the tangents at both."""

    curve: Curve
    begin: Tensor
    end: Tensor
    begin_tangent: Tensor
    end_tangent: Tensor

    def point(self, share: Tensor) -> Tensor:
        """The point (B, D + 1) a share (B,) of the way along the branch."""
        return self.curve.correct(self._hermite(share[:, None]), self.begin_tangent)[0]

    def crosses_branch(self) -> Tensor:
        """Where another branch crosses this one (B,): the determinant of (F_z, τ) changes its sign."""
        signs = [
            torch.linalg.slogdet(torch.cat((self.curve.defect_jacobian(point), tangent[:, None]), dim=1)).sign
            for point, tangent in ((self.begin, self.begin_tangent), (self.end, self.end_tangent))
        ]
        return signs[0] * signs[1] < 0

    def _hermite(self, share: Tensor) -> Tensor:
        """The cubic that meets both points with their tangents: near a crossing it stays with its branch."""
        chord = self.end - self.begin
        length = norm(chord)[:, None]
        bend_begin, bend_end = length * self.begin_tangent - chord, length * self.end_tangent - chord
        bend = (1 - share) * bend_begin - share * bend_end
        return self.begin + share * chord + share * (1 - share) * bend

    def parameter_slope(self, share: Tensor) -> Tensor:
        """dp/ds (B,) a share (B,) of the way along."""
        return self.curve.tangent(self.point(share), self.begin_tangent)[:, -1]

    def growth(self, share: Tensor, index: Tensor) -> Tensor:
        """The growth (B,) whose place in falling order is `index` (B, 1), a share of the way along."""
        growth = self.curve.growth(self.point(share))
        return growth.gather(-1, index.clamp(max=growth.shape[-1] - 1)).squeeze(-1)


def bifurcations(segment: Segment, chosen: Tensor) -> list[tuple[int, Bifurcation]]:
    """The bifurcations on each of the chosen segments (B,), after their sample: at most two on each.

    A branch turns back where dp/ds changes sign. Its stability changes where the growth along an eigenvector
    does; sorted, these growths are continuous along the branch even where eigenvalues meet.
    """
    unstable = [(segment.curve.growth(point) > 0).sum(-1) for point in (segment.begin, segment.end)]
    turns = chosen & (segment.begin_tangent[:, -1] * segment.end_tangent[:, -1] < 0)
    changes = chosen & (unstable[0] != unstable[1])
    critical = torch.minimum(*unstable)[:, None]
    found, turning_share = [], torch.full_like(segment.begin[:, 0], torch.inf)
    if turns.any():
        turning_share = _root(segment.parameter_slope, turns, turning_share)
        points = _locate(segment, segment.parameter_slope, turning_share, turns)
        kinds = [PITCHFORK if crosses else FOLD for crosses in segment.crosses_branch().tolist()]
        found += _collect(segment.curve, turns, points, kinds)
    if changes.any():
        share = _root(lambda share: segment.growth(share, critical), changes, turning_share)
        points = _locate(segment, lambda share: segment.growth(share, critical), share, changes)
        changes &= ~((share - turning_share).abs() < SAME_POINT_SHARE)
        found += _collect(segment.curve, changes, points, _kinds(segment, points, critical))
    return found


def _locate(segment: Segment, function: Callable[[Tensor], Tensor], share: Tensor, chosen: Tensor) -> Tensor:
    """The points (B, D + 1) where the function is zero; the segment's begin where not chosen.

    Where branches cross, Newton's method cannot tell them apart: there the point is the value at zero of the
    cubic in the function's values through two points of the branch on either side.
    """
    direct = segment.point(share)
    shares = [share + offset * CROSSING_SHARE for offset in (-2, -1, 1, 2)]
    values = torch.stack([function(share) for share in shares])  # (4, B)
    nearby = torch.stack([segment.point(share) for share in shares])  # (4, B, D + 1)
    weights = [
        torch.stack(
            [-values[other] / (values[one] - values[other]) for other in range(4) if other != one]
        ).prod(0)
        for one in range(4)
    ]
    interpolated = torch.einsum("kb,kbz->bz", torch.stack(weights), nearby)
    points = torch.where(segment.crosses_branch()[:, None], interpolated, direct)
    return torch.where(chosen[:, None], points, segment.begin)


def _collect(curve: Curve, chosen: Tensor, points: Tensor, kinds: list[str]) -> list[tuple[int, Bifurcation]]:
    parameters, states = curve.parameters(points), curve.states(points)
    return [
        (sample, Bifurcation(kinds[sample], parameters[sample].item(), states[sample]))
        for sample in chosen.nonzero().squeeze(-1).tolist()
    ]


def _root(function: Callable[[Tensor], Tensor], chosen: Tensor, like: Tensor) -> Tensor:
    """Where in (0, 1) a function that changes sign on the chosen samples is zero, by the Illinois method.

    A secant through two points on either side of the root; the value at an end that stays is halved.
    """
    kept, last = torch.zeros_like(like), torch.ones_like(like)
    kept_value, last_value = function(kept), function(last)
    for _ in range(MAX_ROOT_STEPS):
        share = last - last_value * (last - kept) / (last_value - kept_value)
        share = torch.where(last_value == 0, last, share)
        settled = (share - last).abs() < torch.finfo(like.dtype).eps ** (2 / 3)
        value = function(share)
        crossed = value * last_value < 0
        kept = torch.where(crossed, last, kept)
        kept_value = torch.where(crossed, last_value, kept_value / 2)
        last, last_value = share, value
        if (settled | ~chosen).all():
            break
    return last


def _kinds(segment: Segment, points: Tensor, critical: Tensor) -> list[str]:
    """What happens where the critical eigenvalue crosses the boundary of stability."""
    eigenvalue = segment.curve.eigenvalues(points).gather(-1, critical.clamp(max=points.shape[-1] - 2))[:, 0]
    is_map = isinstance(segment.curve.system(points), Map)
    rotates = eigenvalue.imag.abs() > ZERO_TOLERANCE * eigenvalue.abs()
    flips = is_map & (eigenvalue.real < 0)
    return [
        (NEIMARK_SACKER if is_map else HOPF) if rotating else PERIOD_DOUBLING if flipping else real_kind
        for rotating, flipping, real_kind in zip(
            rotates.tolist(), flips.tolist(), _kinds_at_eigenvalue_zero(segment, points), strict=True
        )
    ]


def _kinds_at_eigenvalue_zero(segment: Segment, points: Tensor) -> list[str]:
    """Fold, pitchfork or transcritical, where F_h φ = 0 and ψᵀ F_h = 0.

    At a fold no other branch is met. At a pitchfork ψ · F_hh φ φ = 0, in proportion to the change of F_z.

    Source: Kuznetsov (2004), Elements of applied bifurcation theory, 3rd edition, sections 3.2 and 7.4.
    """
    curve = segment.curve
    left, _, right = torch.linalg.svd(curve.defect_jacobian(points)[..., :-1])
    left, right = left[..., -1], right[..., -1, :]  # ψ, φ
    second_order = (left * _curvature(curve, points, right)).sum(-1).abs()
    change = curve.defect_jacobian(segment.end) - curve.defect_jacobian(segment.begin)
    rate_of_change = torch.linalg.matrix_norm(change) / norm(segment.end - segment.begin)
    is_transcritical = second_order > ZERO_TOLERANCE * rate_of_change
    return [
        FOLD if not crosses else TRANSCRITICAL if transversal else PITCHFORK
        for crosses, transversal in zip(
            segment.crosses_branch().tolist(), is_transcritical.tolist(), strict=True
        )
    ]


def _curvature(curve: Curve, points: Tensor, direction: Tensor) -> Tensor:
    """F_hh φ φ (B, D): how F_h φ changes along φ (B, D)."""
    system = curve.system(points)

    def slope(state: Tensor) -> Tensor:
        return (system.defect_jacobian(state) @ direction[..., None]).squeeze(-1)

    curvature = (jacobian(slope, curve.states(points)) @ direction[..., None]).squeeze(-1)
    return curvature * curve.units[:, :1].square() / curve.defect_unit
