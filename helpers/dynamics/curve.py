"""The curve F(h, p) = 0 of fixed points over a parameter: tangents to it, and points brought back onto it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.dynamics.fixed_points import eigenvalues_by_growth, is_zero, norm
from helpers.dynamics.systems import System, jacobian

MAX_NEWTON_STEPS = 8


@dataclass(frozen=True, eq=False)
class Curve:
    """Fixed points of `family(p)`, one curve for each sample; a point is z = (h, p) (B, D + 1).

    Attributes
    ----------
    family : callable
        From p (B,) to a Map or a Flow of states (B, D).
    tolerance : float
        A point is on the curve where ‖F‖ ≤ tolerance · (1 + max |z|).
    """

    family: Callable[[Tensor], System]
    tolerance: float

    def system(self, points: Tensor) -> System:
        """The system at each point's parameter."""
        return self.family(points[:, -1])

    def defect(self, points: Tensor) -> Tensor:
        """F(h, p) (B, D)."""
        return self.system(points).defect(points[:, :-1])

    def defect_jacobian(self, points: Tensor) -> Tensor:
        """(∂F/∂h, ∂F/∂p) (B, D, D + 1)."""
        state, parameter = points[:, :-1], points[:, -1:]
        by_state = self.system(points).defect_jacobian(state)
        by_parameter = jacobian(lambda p: self.family(p.squeeze(-1)).defect(state), parameter)
        return torch.cat((by_state, by_parameter), dim=-1)

    def eigenvalues(self, points: Tensor) -> Tensor:
        """Of the system's Jacobian, the fastest growing first: complex (B, D)."""
        system = self.system(points)
        return eigenvalues_by_growth(system, system.jacobian(points[:, :-1]))

    def growth(self, points: Tensor) -> Tensor:
        """How fast displacements along the eigenvectors grow (B, D), in falling order."""
        return self.system(points).growth(self.eigenvalues(points))

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
            settled = is_zero(points, values, round_off)
            if settled.all():
                break
            bordered = torch.cat((self.defect_jacobian(points), normal[:, None]), dim=1)
            right_side = torch.cat((-values, torch.zeros_like(values[:, :1])), dim=1)
            step = torch.linalg.solve_ex(bordered, right_side).result
            points = torch.where(settled[:, None], points, points + step)
        return points, is_zero(points, self.defect(points), self.tolerance)
