"""The curve F(h, p) = 0 of fixed points over a parameter: tangents to it, and points brought back onto it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.dynamics.fixed_points import eigenvalues_by_growth, norm
from helpers.dynamics.systems import Map, System, jacobian
from helpers.dynamics.units import state_size

MAX_NEWTON_STEPS = 8

STATE_SPAN = 4.0
"""Over how many times the distance that changes the Jacobian by half a branch may be expected to go."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Fixed points of `family(p)`, one curve for each sample; a point is z (B, D + 1), of order one.

    ::

        z = (h / state unit, p / parameter unit),   F in the unit of the defect

    Attributes
    ----------
    family : callable
        From p (B,) to a Map or a Flow of states (B, D).
    tolerance : float
        A point is on the curve where ‖F‖ ≤ tolerance · (1 + max |z|).
    units : Tensor (B, D + 1)
        Of the states, and of the parameter.
    defect_unit : Tensor (B, 1)
    """

    family: Callable[[Tensor], System]
    tolerance: float
    units: Tensor
    defect_unit: Tensor

    def states(self, points: Tensor) -> Tensor:
        """h (..., B, D) in the caller's unit."""
        return points[..., :-1] * self.units[:, :-1]

    def parameters(self, points: Tensor) -> Tensor:
        """p (..., B) in the caller's unit."""
        return points[..., -1] * self.units[:, -1]

    def system(self, points: Tensor) -> System:
        """The system at each point's parameter."""
        return self.family(self.parameters(points))

    def defect(self, points: Tensor) -> Tensor:
        """F(h, p) (B, D)."""
        return self.system(points).defect(self.states(points)) / self.defect_unit

    def defect_jacobian(self, points: Tensor) -> Tensor:
        """∂F/∂z (B, D, D + 1)."""
        state, parameter = self.states(points), self.parameters(points)[:, None]
        by_state = self.system(points).defect_jacobian(state)
        by_parameter = jacobian(lambda p: self.family(p.squeeze(-1)).defect(state), parameter)
        by_both = torch.cat((by_state, by_parameter), dim=-1)
        return by_both * self.units[:, None] / self.defect_unit[..., None]

    def eigenvalues(self, points: Tensor) -> Tensor:
        """Of the system's Jacobian, the fastest growing first: complex (B, D)."""
        system = self.system(points)
        return eigenvalues_by_growth(system, system.jacobian(self.states(points)))

    def growth(self, points: Tensor) -> Tensor:
        """How fast displacements along the eigenvectors grow (B, D), in falling order."""
        return self.system(points).growth(self.eigenvalues(points))

    def is_singular(self, points: Tensor) -> Tensor:
        """Where F_z has, up to round-off, no full rank (B,): there branches cross."""
        matrices = self.defect_jacobian(points)
        rows = torch.linalg.vector_norm(matrices, dim=-1, keepdim=True)
        values = torch.linalg.svdvals(matrices / rows.where(rows > 0, 1.0))
        return values[:, -1] <= torch.finfo(points.dtype).eps ** 0.25 * values[:, 0]

    def first_tangent(self, points: Tensor, direction: int) -> Tensor:
        """The unit tangent along which the parameter rises (direction 1) or falls (-1)."""
        tangent = torch.linalg.svd(self.defect_jacobian(points)).Vh[:, -1]
        return torch.where(tangent[:, -1:] * direction < 0, -tangent, tangent)

    def tangent(self, points: Tensor, previous: Tensor) -> Tensor:
        """The unit tangent that points on along the previous one: F_z τ = 0, τ_previous · τ > 0."""
        bordered = torch.cat((self.defect_jacobian(points), previous[:, None]), dim=1)
        ahead = torch.zeros_like(points)
        ahead[:, -1] = 1
        tangent = torch.linalg.solve_ex(bordered, ahead).result
        return tangent / norm(tangent)[:, None]

    def correct(self, points: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Newton's method for F(z) = 0 within the plane through each point with this normal.

        Returns the corrected points and where they are on the curve (B,). A point that is on it to
        round-off stays as it is: where branches cross, a step for no reason would lead away.
        """
        round_off = 4 * torch.finfo(points.dtype).eps
        for _ in range(MAX_NEWTON_STEPS):
            values = self.defect(points)
            settled = self._is_on(points, values, round_off)
            if settled.all():
                break
            bordered = torch.cat((self.defect_jacobian(points), normal[:, None]), dim=1)
            right_side = torch.cat((-values, torch.zeros_like(values[:, :1])), dim=1)
            step = torch.linalg.solve_ex(bordered, right_side).result
            points = torch.where(settled[:, None], points, points + step)
        return points, self._is_on(points, self.defect(points), self.tolerance)

    @staticmethod
    def _is_on(points: Tensor, values: Tensor, tolerance: float) -> Tensor:
        """Where ‖F‖ ≤ tolerance · (1 + max |z|), as a mask (B,)."""
        return norm(values) <= tolerance * (1 + points.abs().amax(-1))


def curve_of(
    family: Callable[[Tensor], System], starts: Tensor, parameter: float, bounds: tuple[float, float]
) -> Curve:
    """The curve through the fixed points near the starts, in units of its own."""
    size, rate = state_size(family, starts, parameter, bounds)
    rate = rate + 1 if isinstance(family(torch.full_like(size, parameter)), Map) else rate
    states = STATE_SPAN * size[:, None].expand_as(starts)
    units = torch.cat((states, torch.full_like(starts[:, :1], bounds[1] - bounds[0])), dim=-1)
    defect_unit = rate * size
    tolerance = torch.finfo(starts.dtype).eps ** 0.75
    return Curve(family, tolerance, units, defect_unit.where(defect_unit > 0, 1.0)[:, None])
