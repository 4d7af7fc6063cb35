"""What a hidden Markov state emits: a symbol, or counts; `gaussian_emission` has real vectors.

Every emission offers `check`, which refuses what it does not accept as observations; of those that it does,
`log_prob` for the recursions, `refit`, the M-step of Baum-Welch, and `log_prior`, what a `Belief` adds to the
likelihood; and `sample` for simulation. Missing entries are marginalised one by one, and what stands in their
place is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_floating, check_not_negative, refuse_where

ROUND_OFF = 4
"""Units of machine precision per term by which the sum of probabilities may miss 1."""


def log_probability(probability: Tensor) -> Tensor:
    """log p, -inf where p is 0; there its gradient is 0: what is forbidden stays forbidden."""
    positive = probability > 0
    return torch.where(positive, probability, 1.0).log().masked_fill(~positive, -torch.inf)


def check_distributions(name: str, probability: Tensor) -> None:
    """Refuse a tensor whose rows (last axis) are not probabilities that sum to 1.

    A sum of K terms may miss 1 by 4 K units of machine precision, which is what rounding may do: in a series
    of T steps, each row's excess counts T times.
    """
    probability = probability.detach()
    check_entries(name, probability, probability.isfinite() & (probability >= 0), "hold probabilities")
    total = probability.sum(-1)
    refuse_where(
        (total - 1).abs() > ROUND_OFF * probability.shape[-1] * torch.finfo(probability.dtype).eps,
        lambda *row: (
            f"{f'row {row[0]} of {name}' if row else name} must sum to 1: got {total[row].item():.9g}"
        ),
    )


@dataclass(frozen=True, eq=False)
class Belief:
    """What an M-step respects beside the data.

    Attributes
    ----------
    total : Tensor or 0.0
        What pseudo-observations add to each state's sum: of symbols (K, S), counts (K, D) or squared
        deviations (K, D, D).
    steps : Tensor (K, 1) or 0.0
        How many pseudo-observations those are; not for symbols, which are counted already.
    fixed : mapping of str to Tensor, bool
        For a parameter's name, the entries of it that stay.
    floor : Tensor (D,) or None
        The smallest variances that a Gaussian emission may have.
    """

    total: Tensor | float = 0.0
    steps: Tensor | float = 0.0
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    floor: Tensor | None = None

    def keep(self, name: str, old: Tensor, new: Tensor) -> Tensor:
        """The new parameter, where it is not fixed."""
        return torch.where(self.fixed[name], old, new) if name in self.fixed else new


NO_BELIEF = Belief()


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
        check_parameter("probabilities", self.probabilities, "(K, S)")
        check_distributions("probabilities", self.probabilities)

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.probabilities

    @property
    def states(self) -> int:
        """K."""
        return len(self.probabilities)

    @property
    def total_shape(self) -> torch.Size:
        """Of what pseudo-observations add up to: how often each state showed each symbol, (K, S)."""
        return self.probabilities.shape

    def check(self, y: Tensor, mask: Tensor) -> Tensor:
        """Integers y (B, T) from 0 to S - 1, and 0 where missing."""
        if y.ndim != 2:
            raise ValueError(f"y must have shape (B, T) for a categorical emission: got {tuple(y.shape)}")
        if y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
            raise ValueError(f"y must be integers for a categorical emission: got {y.dtype}")
        symbols = self.probabilities.shape[1]
        check_entries("y", y, ~mask | ((y >= 0) & (y < symbols)), f"lie between 0 and {symbols - 1}")
        return torch.where(mask, y, 0).long()

    def symbols(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The integers (B, T) that a batch's values (B, T, 1) stand for, 0 where missing, and their mask."""
        if values.shape[-1] != 1:
            raise ValueError(
                f"y must have one feature for a categorical emission: got values {tuple(values.shape)}"
            )
        check_entries("y", values, ~mask | (values == values.round()), "hold whole numbers where observed")
        return torch.where(mask, values, 0.0).squeeze(-1).long(), mask.squeeze(-1)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """log P(y | k), shape (B, T, K); 0 where the mask is False."""
        log_prob = log_probability(self.probabilities).T[y]
        return torch.where(mask.unsqueeze(-1), log_prob, 0.0)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw a symbol for each of the states (B, T), shape (B, T)."""
        rows = self.probabilities[states.flatten()]
        return torch.multinomial(rows, 1, generator=generator).reshape(states.shape)

    def refit(
        self, y: Tensor, mask: Tensor, weight: Tensor, belief: Belief = NO_BELIEF
    ) -> "CategoricalEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        seen = weight[mask]  # (N, K)
        counts = torch.zeros_like(self.probabilities.T).index_add_(0, y[mask], seen).T
        fixed = belief.fixed.get("probabilities")
        return CategoricalEmission(shares(counts, belief.total, self.probabilities, fixed))

    def log_prior(self, belief: Belief) -> Tensor:
        """Σ n log E, a Dirichlet density but for a constant."""
        return log_dirichlet(belief.total, self.probabilities)


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
        check_parameter("rate", self.rate, "(K, D)")
        check_not_negative("rate", self.rate.detach())

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.rate

    @property
    def states(self) -> int:
        """K."""
        return len(self.rate)

    @property
    def total_shape(self) -> torch.Size:
        """Of what pseudo-observations add up to: counts in each state, (K, D)."""
        return self.rate.shape

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

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor, belief: Belief = NO_BELIEF) -> "PoissonEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        total = torch.einsum("btk,btd->kd", weight, y) + belief.total * (self.rate > 0)
        exposure = torch.einsum("btk,btd->kd", weight, mask.to(weight)) + belief.steps
        return PoissonEmission(belief.keep("rate", self.rate, average(total, exposure, self.rate)))

    def log_prior(self, belief: Belief) -> Tensor:
        """Σ (s log λ - n λ), a Gamma density but for a constant."""
        return log_dirichlet(belief.total, self.rate) - (belief.steps * self.rate).sum()


def average(total: Tensor, weight: Tensor, unsupported: Tensor) -> Tensor:
    """total / weight; where nothing has weight that is more than round-off, what was there before."""
    limits = torch.finfo(weight.dtype)
    return torch.where(weight > limits.tiny / limits.eps, total / weight, unsupported)


def shares(
    counts: Tensor, pseudo_counts: Tensor | float, before: Tensor, fixed: Tensor | None = None
) -> Tensor:
    """Each entry's share of its row's counts and pseudo-counts.

    A share that was 0 before stays 0; the entries that are not fixed share what the fixed ones leave.
    """
    counts = counts + pseudo_counts * (before > 0)
    if fixed is None:
        return average(counts, counts.sum(-1, keepdim=True), before)
    counts, free = torch.where(fixed, 0.0, counts), torch.where(fixed, 0.0, before)
    room = free.sum(-1, keepdim=True)
    return torch.where(fixed, before, average(counts * room, counts.sum(-1, keepdim=True), before))


def log_dirichlet(pseudo_counts: Tensor | float, probability: Tensor) -> Tensor:
    """Σ n log p over all entries that are not 0, which have no choice."""
    return (pseudo_counts * torch.where(probability > 0, probability, 1.0).log()).sum()


def check_parameter(name: str, tensor: Tensor, shape: str) -> None:
    """Refuse what is no float32 or float64 tensor of the `shape` in words, (K, D), or is empty."""
    if isinstance(tensor, Tensor) and tensor.ndim != sum(map(str.isupper, shape)):
        raise ValueError(f"{name} must have shape {shape}: got {tuple(tensor.shape)}")
    check_floating(name, tensor)
    if tensor.numel() == 0:
        raise ValueError(f"{name} must not be empty: got shape {tuple(tensor.shape)}")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64: got {tensor.dtype}")
    refuse_vmap(name, tensor)


def refuse_vmap(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that torch.vmap splits: what is checked of it depends on its numbers."""
    if torch._C._functorch.is_batchedtensor(tensor):  # torch has no public name for it
        raise ValueError(
            f"{name} must not be split by torch.vmap: pass many series as one batch (B, T, ...), "
            "and models one by one"
        )


def check_features(y: Tensor, like: Tensor) -> None:
    """Refuse a y that is not (B, T, D) with the D of the parameter `like` (K, D)."""
    features = like.shape[1]
    if y.ndim != 3 or y.shape[2] != features:
        raise ValueError(f"y must have shape (B, T, D) with D = {features}: got {tuple(y.shape)}")
