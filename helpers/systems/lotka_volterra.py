"""Predator and prey: the oldest oscillator of ecology."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from helpers.arguments import check_entries
from helpers.systems.state import check_parameters, matrix, per_sample, split


@dataclass(frozen=True, eq=False, kw_only=True)
class LotkaVolterra:
    """Prey that multiply, and predators that live on them: both numbers go round and round for ever.

    ::

        x' = α x - β x y
        y' = δ x y - γ y

    Prey x and predators y rest at (γ/δ, α/β), and at (0, 0), a saddle. From any other positive start they run
    around a closed curve, on which V(x, y) = δ x - γ ln x + β y - α ln y stays what it was; small circles
    take the time 2π/√(α γ), and over every circle the means of x and y are γ/δ and α/β.

    Parameters
    ----------
    alpha : float or Tensor (B,)
        α, the rate at which prey multiply where there are no predators, per unit of time (per year, say).
    beta : float or Tensor (B,)
        β, the rate at which one unit of predators removes prey, per unit of time and of predators.
    delta : float or Tensor (B,)
        δ, the rate at which one unit of prey makes predators multiply, per unit of time and of prey. (Not
        the δ of chapter 6, a time since an observation.)
    gamma : float or Tensor (B,)
        γ, the rate at which predators decay where there is no prey, per unit of time.

    Notes
    -----
    x and y are numbers or densities in units of your choice (thousands of pelts, say).

    Source: Lotka (1920), Analytical note on certain rhythmic relations in organic systems, PNAS 6; Volterra
    (1926), Fluctuations in the abundance of a species considered mathematically, Nature 118.
    """

    alpha: float | Tensor
    beta: float | Tensor
    delta: float | Tensor
    gamma: float | Tensor

    variables: ClassVar[tuple[str, ...]] = ("prey", "predator")

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change (B, 2) of the state (prey, predator) (B, 2), the same at all times t."""
        x, y = split(y, self.variables)
        α, β, δ, γ = per_sample(self, x)
        return torch.stack((α * x - β * x * y, δ * x * y - γ * y), dim=-1)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂(prey, predator) (B, 2, 2) at the state (B, 2)."""
        x, y = split(y, self.variables)
        α, β, δ, γ = per_sample(self, x)
        return matrix(
            [
                [α - β * y, -β * x],
                [δ * y, δ * x - γ],
            ]
        )

    def invariant(self, y: Tensor) -> Tensor:
        """V = δ x - γ ln x + β y - α ln y (...), constant along every solution (..., 2).

        Raises
        ------
        ValueError
            If a number of prey or predators is negative or NaN, so that it has no logarithm.
        """
        prey, predator = split(y, self.variables)
        check_entries("y", y, y >= 0, "not be negative")
        α, β, δ, γ = per_sample(self, prey)
        return δ * prey - γ * prey.log() + β * predator - α * predator.log()
