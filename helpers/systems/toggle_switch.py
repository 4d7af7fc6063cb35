"""The genetic toggle switch: two genes that silence each other."""

from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from helpers.arguments import check_entries, check_finite_number, check_tensor, kind
from helpers.systems.state import check_parameters, matrix, per_sample, repression, repression_slope, split


@dataclass(frozen=True, eq=False)
class ToggleSwitch:
    """Two repressors, u and v, each made the faster the less there is of the other.

    ::

        u' = α / (1 + vⁿ) - u
        v' = α / (1 + uⁿ) - v

    With n = 2 there is one steady state, u = v, up to α = 2; beyond, it is a saddle between two stable
    ones, a bit that the cell remembers.

    Parameters
    ----------
    alpha : float or Tensor (B,)
        α, the maximal rate of synthesis, in amounts at half repression per lifetime (no unit).
    n : float or Tensor (B,)
        Hill coefficient: how cooperatively a repressor binds. With an n that is not a whole number, u and v
        must not be negative, which concentrations never are.

    Notes
    -----
    Time is in protein lifetimes (1/γ), u and v in the amount that halves the other gene's synthesis.

    Source: Gardner, Cantor and Collins (2000), Construction of a genetic toggle switch in Escherichia coli,
    Nature 403, equation 1, with equal genes (α₁ = α₂ = α, β = γ = n).
    """

    alpha: float | Tensor
    n: float | Tensor = 2.0

    variables: ClassVar[tuple[str, ...]] = ("u", "v")

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change y' (B, 2) of the state y = (u, v) (B, 2), the same at all times t."""
        u, v = split(y, self.variables)
        α, _ = per_sample(self, u)
        return torch.stack((α * self.repression(v) - u, α * self.repression(u) - v), dim=-1)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂y (B, 2, 2) at the state y (B, 2)."""
        u, v = split(y, self.variables)
        α, _ = per_sample(self, u)
        decay = -torch.ones_like(u)
        return matrix([[decay, α * self.repression_slope(v)], [α * self.repression_slope(u), decay]])

    def repression(self, repressor: Tensor) -> Tensor:
        """The share of synthesis that a repressor leaves: 1 / (1 + xⁿ)."""
        _, n = per_sample(self, repressor)
        return repression(repressor, n)

    def repression_slope(self, repressor: Tensor) -> Tensor:
        """Its derivative: -n xⁿ⁻¹ / (1 + xⁿ)²."""
        _, n = per_sample(self, repressor)
        return repression_slope(repressor, n)


def critical_alpha(n: float | Tensor) -> float | Tensor:
    """The α at which the one steady state of a toggle switch becomes two, for a Hill coefficient n > 1.

    Where u = v = s the eigenvalues are -1 ± n sⁿ / (1 + sⁿ). The larger one is zero, a pitchfork, at ::

        sⁿ = 1 / (n - 1)
        α  = s (1 + sⁿ) = n / (n - 1) · (n - 1)^(-1/n)        2 for n = 2

    Parameters
    ----------
    n : float, array or Tensor (...)
        Hill coefficient, above 1. With n = 1 there is one steady state at every α.

    Returns
    -------
    float, array or Tensor (...)
        The maximal rate of synthesis α of `ToggleSwitch`, as its `alpha`.

    Raises
    ------
    ValueError
        If an n is not a finite number above 1.
    """
    if isinstance(n, Real):
        check_finite_number("n", n)
    elif not hasattr(n, "__array__"):
        check_tensor("n", n, "be a number, an array or a tensor")
    numbers = torch.as_tensor(n)
    if numbers.is_complex():
        raise ValueError(f"n must be real: got {kind(numbers)}")
    check_entries("n", numbers, numbers.isfinite() & (numbers > 1), "be finite and above 1")
    return n / (n - 1) * (n - 1) ** (-1 / n)
