"""The one-compartment model: a drug on its way from the gut through the blood."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from helpers.arguments import check_like
from helpers.systems.state import check_parameters, matrix, per_sample, split


@dataclass(frozen=True, eq=False, kw_only=True)
class OneCompartment:
    """A swallowed drug passes from the gut into the blood, and leaves the blood; both at first order.

    ::

        gut'     = -kₐ gut                    C = central / V
        central' =  kₐ gut - kₑ central       CL = kₑ V

    A dose d that is absorbed completely is the start (gut, central) = (d, 0); a dose into a vein is (0, d).

    Parameters
    ----------
    absorption_rate : float or Tensor (B,)
        kₐ, the fraction of the drug in the gut that enters the blood per unit of time, 1/h.
    elimination_rate : float or Tensor (B,)
        kₑ, the fraction of the drug in the blood that is removed per unit of time, 1/h.
    volume : float or Tensor (B,)
        V, the volume in which the drug spreads, L (or L per kg of body weight, with amounts in mg per kg).

    Notes
    -----
    Time is in hours, gut and central are amounts in mg, the concentration is in mg/L.

    Source: Gabrielsson and Weiner, Pharmacokinetic and Pharmacodynamic Data Analysis, the one-compartment
    model with first-order input and output.
    """

    absorption_rate: float | Tensor
    elimination_rate: float | Tensor
    volume: float | Tensor

    variables: ClassVar[tuple[str, ...]] = ("gut", "central")

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change (B, 2) of the amounts (gut, central) (B, 2), the same at all times t."""
        gut, central = split(y, self.variables)
        ka, ke, _ = per_sample(self, gut)
        return torch.stack((-ka * gut, ka * gut - ke * central), dim=-1)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂(gut, central) (B, 2, 2), the same at every state (B, 2)."""
        gut, _ = split(y, self.variables)
        ka, ke, _ = per_sample(self, gut)
        zero, one = torch.zeros_like(gut), torch.ones_like(gut)
        return matrix(
            [
                [-ka * one, zero],
                [ka * one, -ke * one],
            ]
        )

    def concentration(self, y: Tensor) -> Tensor:
        """C = central / V in mg/L (...), of amounts (..., 2)."""
        _, central = split(y, self.variables)
        _, _, volume = per_sample(self, central)
        return central / volume

    @property
    def clearance(self) -> float | Tensor:
        """CL = kₑ V, the volume of blood that is cleaned per unit of time, L/h."""
        return self.elimination_rate * self.volume

    def solution(self, t: Tensor, y0: Tensor) -> Tensor:
        """The amounts (B, T, 2) at the times t after the start y0 (B, 2), in closed form.

        ::

            gut(t)     = gut(0) exp(-kₐ t)
            central(t) = central(0) exp(-kₑ t) + gut(0) kₐ (exp(-kₑ t) - exp(-kₐ t)) / (kₐ - kₑ)

        It keeps its digits, and those of its gradient, where kₐ and kₑ meet: central = gut(0) k t exp(-k t).

        Parameters
        ----------
        t : Tensor (T,) or (B, T)
            Time since the start, h.
        y0 : Tensor (B, 2)
            Amounts at time 0, mg. One start (2,) gives (T, 2).

        Raises
        ------
        ValueError
            If `t` is not of the dtype and on the device of `y0`, or has neither of these shapes.
        """
        gut, central = (amount.unsqueeze(-1) for amount in split(y0, self.variables, "y0"))  # (B, 1)
        check_like("t", t, "y0", y0)
        if y0.ndim > 2:
            raise ValueError(f"y0 must have shape (2,) or (B, 2): got {tuple(y0.shape)}")
        if t.ndim == 0 or t.shape[:-1] not in ((), y0.shape[:-1]):
            expected = "(T,)" if y0.ndim == 1 else f"(T,) or (B, T) with B = {len(y0)}"
            raise ValueError(f"t must have shape {expected}: got {tuple(t.shape)}")
        ka, ke, _ = per_sample(self, gut)
        absorbed = ka * t * mean_decay(ke * t, ka * t)  # (B, T)
        later = (gut * torch.exp(-ka * t), central * torch.exp(-ke * t) + gut * absorbed)
        return torch.stack(torch.broadcast_tensors(*later), dim=-1)


def mean_decay(a: Tensor, b: Tensor) -> Tensor:
    """(e⁻ᵃ - e⁻ᵇ) / (b - a), the mean of e⁻ˢ over s from a to b; with its derivatives, and where a = b.

    Where x = b - a lies within ±1, by the series e⁻ᵃ Σ (-x)ᵏ / (k+1)!; elsewhere as it stands.
    """
    x = b - a
    is_small = x.abs() < 1
    small, large = torch.where(is_small, x, 0.0), torch.where(is_small, 1.0, x)
    series = torch.ones_like(x)
    for k in range(18, 1, -1):
        series = 1 - small / k * series
    return torch.where(is_small, torch.exp(-a) * series, (torch.exp(-a) - torch.exp(-b)) / large)
