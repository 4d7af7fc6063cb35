"""What a hidden Markov state emits: a symbol, or counts; `gaussian_emission` has real vectors.

Every emission offers `check`, which refuses what it does not accept as observations; of those that it does,
`log_prob` for the recursions and `refit`, the M-step of Baum-Welch; and `sample` for simulation. Missing
entries are marginalised one by one, and what stands in their place is never read.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_floating, check_not_negative, refuse_where


def log_probability(probability: Tensor) -> Tensor:
    """log p, -inf where p is 0; there its gradient is 0: what is forbidden stays forbidden."""
    positive = probability > 0
    return torch.where(positive, probability, 1.0).log().masked_fill(~positive, -torch.inf)


def check_distributions(name: str, probability: Tensor) -> None:
    """Refuse a tensor whose rows (last axis) are not probabilities that sum to 1.

    A sum may differ from 1 by the square root of the machine precision, 1.5e-8 in float64.
    """
    probability = probability.detach()
    check_entries(name, probability, probability.isfinite() & (probability >= 0), "hold probabilities")
    total = probability.sum(-1)
    refuse_where(
        (total - 1).abs() > torch.finfo(probability.dtype).eps ** 0.5,
        lambda *row: (
            f"{f'row {row[0]} of {name}' if row else name} must sum to 1: got {total[row].item():.9g}"
        ),
    )


@dataclass(frozen=True, eq=False)
class CategoricalEmission:
    """Each state draws one of S symbols: P(y = s | k) = E[k, s].

    Parameters
    ----------
    probabilities : Tensor (K, S)
        E; each row sums to 1. A zero is a symbol that the state never shows.

    Raises
    ------
    ValueError
        If E is not a matrix, or naming the entry or row that is no probability distribution.
    """

    probabilities: Tensor

    def __post_init__(self) -> None:
        check_matrix("probabilities", self.probabilities, "(K, S)")
        check_distributions("probabilities", self.probabilities)

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.probabilities

    @property
    def states(self) -> int:
        """K."""
        return len(self.probabilities)

    def check(self, y: Tensor, mask: Tensor) -> Tensor:
        """Integers y (B, T) from 0 to S - 1, and 0 where missing."""
        if y.ndim != 2:
            raise ValueError(f"y must have shape (B, T) for a categorical emission: got {tuple(y.shape)}")
        if y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
            raise ValueError(f"y must be integers for a categorical emission: got {y.dtype}")
        symbols = self.probabilities.shape[1]
        check_entries("y", y, ~mask | ((y >= 0) & (y < symbols)), f"lie between 0 and {symbols - 1}")
        return torch.where(mask, y, 0)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """log P(y | k), shape (B, T, K); 0 where the mask is False."""
        log_prob = log_probability(self.probabilities).T[y]
        return torch.where(mask.unsqueeze(-1), log_prob, 0.0)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw a symbol for each of the states (B, T), shape (B, T)."""
        rows = self.probabilities[states.flatten()]
        return torch.multinomial(rows, 1, generator=generator).reshape(states.shape)

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor) -> "CategoricalEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        seen = weight[mask]  # (N, K)
        counts = torch.zeros_like(self.probabilities.T).index_add_(0, y[mask], seen).T
        return CategoricalEmission(average(counts, counts.sum(-1, keepdim=True), self.probabilities))


@dataclass(frozen=True, eq=False)
class PoissonEmission:
    """Each state emits D independent counts, each with its own rate.

    ::

        log P(y | k) = Σ_d y_d log λ_kd - λ_kd - log y_d!

    Parameters
    ----------
    rate : Tensor (K, D)
        λ ≥ 0, expected counts per step. With a rate of 0 a state emits only zeros.

    Raises
    ------
    ValueError
        If λ is not a matrix, or naming the rate that is negative or not finite.
    """

    rate: Tensor

    def __post_init__(self) -> None:
        check_matrix("rate", self.rate, "(K, D)")
        check_not_negative("rate", self.rate.detach())

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.rate

    @property
    def states(self) -> int:
        """K."""
        return len(self.rate)

    def check(self, y: Tensor, mask: Tensor) -> Tensor:
        """Counts y (B, T, D), integers or in λ's dtype, turned into that, and 0 where missing."""
        check_features(y, self.rate)
        dtype = self.rate.dtype
        if y.dtype == torch.bool or y.is_complex() or (y.is_floating_point() and y.dtype != dtype):
            raise ValueError(f"y must be integers or have the rate's dtype {dtype}: got {y.dtype}")
        whole = y.isfinite() & (y >= 0) & (y == y.round() if y.is_floating_point() else True)
        check_entries("y", y, ~mask | whole, "be whole numbers, zero or more, where observed")
        return torch.where(mask, y, 0).to(dtype)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """log P(y | k), shape (B, T, K)."""
        positive = self.rate > 0
        log_rate = torch.where(positive, self.rate, 1.0).log()
        impossible = (y > 0).to(self.rate) @ (~positive).to(self.rate).T > 0
        log_prob = y @ log_rate.T - mask.to(self.rate) @ self.rate.T
        constant = torch.lgamma(y + 1).sum(-1, keepdim=True)
        return (log_prob - constant).masked_fill(impossible, -torch.inf)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw counts for each of the states (B, T), shape (B, T, D), in λ's dtype."""
        return torch.poisson(self.rate[states], generator=generator)

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor) -> "PoissonEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        total = torch.einsum("btk,btd->kd", weight, y)
        exposure = torch.einsum("btk,btd->kd", weight, mask.to(weight))
        return PoissonEmission(average(total, exposure, self.rate))


def average(total: Tensor, weight: Tensor, unsupported: Tensor) -> Tensor:
    """total / weight; where nothing has weight, what was there before."""
    return torch.where(weight > 0, total / weight, unsupported)


def check_matrix(name: str, tensor: Tensor, shape: str) -> None:
    """Refuse a parameter that is no floating-point matrix, of the `shape` in words."""
    if tensor.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}: got {tuple(tensor.shape)}")
    check_floating(name, tensor)


def check_features(y: Tensor, like: Tensor) -> None:
    """Refuse a y that is not (B, T, D) with the D of the parameter `like` (K, D)."""
    features = like.shape[1]
    if y.ndim != 3 or y.shape[2] != features:
        raise ValueError(f"y must have shape (B, T, D) with D = {features}: got {tuple(y.shape)}")
