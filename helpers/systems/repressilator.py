"""The repressilator: three genes that silence each other in a ring, and tick."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from helpers.systems.state import (
    check_parameters,
    check_variables,
    per_sample,
    repression,
    repression_slope,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Repressilator:
    """Each of three genes is read into mRNA m, and that into a protein p that represses the next gene.

    ::

        mᵢ' = α / (1 + pⱼⁿ) + α₀ - mᵢ         i = lacI, tetR, cI
        pᵢ' = β (mᵢ - pᵢ)                     j = cI, lacI, tetR

    There is one steady state, all mᵢ = pᵢ = p with p = α / (1 + pⁿ) + α₀. With the slope of repression there,
    X = -α n pⁿ⁻¹ / (1 + pⁿ)², it is unstable, and the three genes take turns, where

    ::

        (β + 1)² / β < 3 X² / (4 + 2 X)       and wherever X ≤ -2

    The default values are the paper's: transcription of 0.5 per second, 5·10⁻⁴ when repressed; 20 proteins
    per mRNA; 40 proteins for half repression; half-lives of 2 minutes (mRNA) and 10 minutes (protein).

    Parameters
    ----------
    alpha : float or Tensor (B,)
        α, how much synthesis a repressor can suppress, in amounts at half repression per protein lifetime.
    n : float or Tensor (B,)
        Hill coefficient: how cooperatively a repressor binds. With an n that is not a whole number, proteins
        must not be negative, which concentrations never are.
    alpha0 : float or Tensor (B,)
        α₀, the leak: synthesis that remains under full repression, in the unit of α.
    beta : float or Tensor (B,)
        β, the decay rate of proteins over that of mRNA.

    Notes
    -----
    Time is in mRNA lifetimes (2.9 minutes with the paper's values), a protein in the amount that halves the
    next gene's synthesis, mRNA in the amount that sustains one such unit of protein.

    Source: Elowitz and Leibler (2000), A synthetic oscillatory network of transcriptional regulators, Nature
    403, box 1.
    """

    alpha: float | Tensor = 216.2
    n: float | Tensor = 2.0
    alpha0: float | Tensor = 0.2164
    beta: float | Tensor = 0.2

    variables: ClassVar[tuple[str, ...]] = ("m_lacI", "m_tetR", "m_cI", "p_lacI", "p_tetR", "p_cI")

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change (B, 6) of the state, three m and three p (B, 6), at all times t."""
        m, p = self._genes(y)
        α, n, α0, β = per_sample(self, p)
        repressor = p.roll(1, dims=-1)  # of lacI: cI, of tetR: lacI, of cI: tetR
        return torch.cat((α * repression(repressor, n) + α0 - m, β * (m - p)), dim=-1)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂y (B, 6, 6) at the state (B, 6)."""
        _, p = self._genes(y)
        one = torch.eye(3, dtype=y.dtype, device=y.device)
        _, _, _, β = per_sample(self, p.unsqueeze(-1))
        of_mrna = torch.diag_embed(self.repression_slope(p)).roll(1, dims=-2)  # (B, 3, 3), ∂m'/∂p
        of_protein = (β * one).expand_as(of_mrna)
        decay = -one.expand_as(of_mrna)
        return torch.cat(
            (torch.cat((decay, of_mrna), dim=-1), torch.cat((of_protein, -of_protein), dim=-1)), dim=-2
        )

    def repression_slope(self, p: Tensor) -> Tensor:
        """How much a gene's synthesis changes per protein that represses it: X = -α n pⁿ⁻¹ / (1 + pⁿ)²."""
        α, n, _, _ = per_sample(self, p)
        return α * repression_slope(p, n)

    def oscillates(self, p: Tensor) -> Tensor:
        """Whether the steady state with proteins p (B,) is unstable: (β+1)² (4+2X) < 3 β X², (B,)."""
        _, _, _, β = per_sample(self, p)
        X = self.repression_slope(p)
        return (β + 1) ** 2 * (4 + 2 * X) < 3 * β * X.square()

    def _genes(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mRNAs and the proteins of the three genes, each (B, 3)."""
        check_variables(y, self.variables)
        return y[..., :3], y[..., 3:]
