"""Lorenz's convection model: the first strange attractor."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from helpers.systems.state import check_parameters, matrix, per_sample, split


@dataclass(frozen=True, eq=False)
class Lorenz:
    """A fluid heated from below: it rests, turns steadily, or turns over for ever without repeating itself.

    ::

        x' = σ (y - x)
        y' = x (ρ - z) - y
        z' = x y - β z

    The origin is stable up to ρ = 1; then C± = (±√(β(ρ-1)), ±√(β(ρ-1)), ρ-1) take over, up to
    ρ = σ (σ + β + 3) / (σ - β - 1), 24.74 at the usual σ and β. Volumes shrink at the rate σ + 1 + β.

    Parameters
    ----------
    sigma : float or Tensor (B,)
        σ, the Prandtl number: viscosity over thermal conductivity.
    rho : float or Tensor (B,)
        ρ, the Rayleigh number over that at which convection starts.
    beta : float or Tensor (B,)
        β, from the width of a convection roll over its height.

    Notes
    -----
    Time and all three variables are without unit: x is the speed of turning, y and z are how the temperature
    departs from a fluid at rest, sideways and upwards.

    Source: Lorenz (1963), Deterministic nonperiodic flow, Journal of the Atmospheric Sciences 20,
    equations 25 to 27.
    """

    sigma: float | Tensor = 10.0
    rho: float | Tensor = 28.0
    beta: float | Tensor = 8 / 3

    variables: ClassVar[tuple[str, ...]] = ("x", "y", "z")

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change (B, 3) of the state (x, y, z) (B, 3), the same at all times t."""
        x, y, z = split(y, self.variables)
        σ, ρ, β = per_sample(self, x)
        return torch.stack((σ * (y - x), x * (ρ - z) - y, x * y - β * z), dim=-1)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂(x, y, z) (B, 3, 3) at the state (B, 3)."""
        x, y, z = split(y, self.variables)
        σ, ρ, β = per_sample(self, x)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        return matrix(
            [
                [-σ * one, σ * one, zero],
                [ρ - z, -one, -x],
                [y, x, -β * one],
            ]
        )
