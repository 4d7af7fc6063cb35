"""What a hidden Markov state emits: a symbol, a real vector, or counts.

Every emission offers `log_prob` for the recursions, `sample` for simulation, and `refit`, the M-step of
Baum-Welch. Missing entries are marginalised one by one, and what stands in their place is never read.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import (
    check_entries,
    check_finite,
    check_floating,
    check_like,
    check_same,
    refuse_where,
)
from helpers.statespace.hmm.patterns import Patterns


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
        _check_matrix("probabilities", self.probabilities, "(K, S)")
        check_distributions("probabilities", self.probabilities)

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.probabilities

    @property
    def states(self) -> int:
        """K."""
        return len(self.probabilities)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """log P(y | k), shape (B, T, K), of integers y (B, T) from 0 to S - 1; 0 where the mask is False."""
        symbols = _symbols(y, mask, self.probabilities.shape[1])
        log_prob = log_probability(self.probabilities).T[symbols]
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
        return CategoricalEmission(_average(counts, counts.sum(-1, keepdim=True), self.probabilities))


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
        _check_matrix("rate", self.rate, "(K, D)")
        rate = self.rate.detach()
        check_entries("rate", rate, rate.isfinite() & (rate >= 0), "be zero or more and finite")

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.rate

    @property
    def states(self) -> int:
        """K."""
        return len(self.rate)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """log P(y | k), shape (B, T, K), of counts y (B, T, D), integers or in λ's dtype."""
        counts = _counts(y, mask, self.rate)
        positive = self.rate > 0
        log_rate = torch.where(positive, self.rate, 1.0).log()
        impossible = (counts > 0).to(self.rate) @ (~positive).to(self.rate).T > 0
        log_prob = counts @ log_rate.T - mask.to(self.rate) @ self.rate.T
        constant = torch.lgamma(counts + 1).sum(-1, keepdim=True)
        return (log_prob - constant).masked_fill(impossible, -torch.inf)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw counts for each of the states (B, T), shape (B, T, D), in λ's dtype."""
        return torch.poisson(self.rate[states], generator=generator)

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor) -> "PoissonEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        counts = _counts(y, mask, self.rate)
        total = torch.einsum("btk,btd->kd", weight, counts)
        exposure = torch.einsum("btk,btd->kd", weight, mask.to(weight))
        return PoissonEmission(_average(total, exposure, self.rate))


@dataclass(frozen=True, eq=False)
class GaussianEmission:
    """Each state emits a real vector around its own mean, with its own covariance.

    ::

        y | k ~ N(μ_k, Σ_k)

    Parameters
    ----------
    mean : Tensor (K, D)
        μ, in the unit of the observations.
    covariance : Tensor (K, D, D)
        Σ, symmetric positive definite, in that unit squared.

    Raises
    ------
    ValueError
        Naming the shape that clashes, the entry that is not finite, or the state whose covariance is not
        symmetric or not positive definite, with its smallest eigenvalue.
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        _check_matrix("mean", self.mean, "(K, D)")
        expected = (*self.mean.shape, self.mean.shape[1])
        if self.covariance.shape != expected:
            found = tuple(self.covariance.shape)
            raise ValueError(f"covariance must have shape (K, D, D) = {expected}: got {found}")
        check_like("covariance", self.covariance, "mean", self.mean)
        check_finite("mean", self.mean)
        check_finite("covariance", self.covariance)
        _check_positive_definite(self.covariance.detach())

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.mean

    @property
    def states(self) -> int:
        """K."""
        return len(self.mean)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """Log density of the observed entries of y (B, T, D), shape (B, T, K).

        Whitens the residuals of all states at once, with L Lᵀ = Σ_k::

            log p(y | k) = -½ ‖L⁻¹ (y - μ_k)‖² - log det L - (D / 2) log 2π
        """
        values = _reals(y, mask, self.mean)
        patterns = Patterns.of(mask)
        groups = patterns.split(values.flatten(0, 1))
        densities = [
            self._density(group, seen) for group, seen in zip(groups, patterns.observed, strict=True)
        ]
        return patterns.join(densities).unflatten(0, y.shape[:2])

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw a vector for each of the states (B, T), shape (B, T, D)."""
        mean = self.mean[states]
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        factor = torch.linalg.cholesky(self.covariance)[states]
        return mean + (factor @ noise.unsqueeze(-1)).squeeze(-1)

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor) -> "GaussianEmission":
        """The emission that explains y best when step t belongs to state k with weight w (B, T, K).

        Missing entries of a partly observed vector stand for their expectation ŷ given the observed ones, and
        their conditional covariance C adds to the scatter::

            μ_k = Σ_t w_tk ŷ_tk / Σ_t w_tk
            Σ_k = Σ_t w_tk [(ŷ_tk - μ_k)(ŷ_tk - μ_k)ᵀ + C_tk] / Σ_t w_tk

        Source: Little and Rubin (2002), Statistical analysis with missing data, section 11.2.
        """
        values, patterns = _reals(y, mask, self.mean), Patterns.of(mask)
        weight = (weight * mask.any(-1, keepdim=True)).flatten(0, 1)  # (N, K)
        completed, uncertainty = [], torch.zeros_like(self.covariance)
        groups = zip(
            patterns.split(values.flatten(0, 1)), patterns.split(weight), patterns.observed, strict=True
        )
        for group, group_weight, seen in groups:
            expectation, conditional = self._complete(group, seen)
            completed.append(expectation)
            uncertainty += group_weight.sum(0)[:, None, None] * conditional
        completed = patterns.join(completed)  # (N, K, D)
        total = weight.sum(0).unsqueeze(-1)  # (K, 1)
        mean = _average(torch.einsum("nk,nkd->kd", weight, completed), total, self.mean)
        residual = completed - mean
        scatter = torch.einsum("nkd,nke->kde", weight.unsqueeze(-1) * residual, residual) + uncertainty
        covariance = _average(scatter, total.unsqueeze(-1), self.covariance)
        return GaussianEmission(mean, (covariance + covariance.mT) / 2)

    def _density(self, values: Tensor, seen: Tensor) -> Tensor:
        """Log density (N, K) of values (N, D), of which the entries `seen` (D,) are observed.

        N is the last axis of the work, where long rows add up fast, and D the first.
        """
        factor = torch.linalg.cholesky(_keep(self.covariance, seen))  # (K, D, D)
        eye = torch.eye(len(seen), dtype=factor.dtype, device=factor.device)
        whiten = torch.linalg.solve_triangular(factor, eye, upper=False) * seen
        centre = self.mean.detach().mean(0)
        offset = torch.einsum("kde,ke->dk", whiten, self.mean - centre).reshape(-1, 1)
        whiten = whiten.transpose(0, 1).flatten(0, 1)  # (D K, D)
        standardised = torch.addmm(-offset, whiten, (values - centre).T)  # (D K, N)
        squares = standardised.square().unflatten(0, self.mean.T.shape).sum(0)  # (K, N)
        log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * squares.T - (log_determinant + 0.5 * math.log(math.tau) * seen.to(factor).sum())

    def _complete(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Expectation (N, K, D) and covariance (K, D, D) of all entries, given those that are seen."""
        visible = self.covariance * seen  # covariance of every entry with the seen ones
        gain = torch.linalg.solve(_keep(self.covariance, seen), visible.mT).mT * seen  # (K, D, D)
        residual = (values.unsqueeze(1) - self.mean) * seen
        expectation = self.mean + torch.einsum("nkd,ked->nke", residual, gain)
        expectation = torch.where(seen, values.unsqueeze(1), expectation)
        conditional = self.covariance - gain @ visible.mT
        return expectation, conditional * ~(seen | seen.unsqueeze(-1))


def _keep(covariance: Tensor, seen: Tensor) -> Tensor:
    """The covariance of the seen entries; the identity in the rows and columns of the others."""
    eye = torch.eye(len(seen), dtype=covariance.dtype, device=covariance.device)
    return torch.where(seen & seen.unsqueeze(-1), covariance, eye)


def _average(total: Tensor, weight: Tensor, unsupported: Tensor) -> Tensor:
    """total / weight; where nothing has weight, what was there before."""
    return torch.where(weight > 0, total / weight, unsupported)


def _check_matrix(name: str, tensor: Tensor, shape: str) -> None:
    if tensor.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}: got {tuple(tensor.shape)}")
    check_floating(name, tensor)


def _check_positive_definite(covariance: Tensor) -> None:
    asymmetry = (covariance - covariance.mT).abs().amax((-2, -1))
    size = covariance.abs().amax((-2, -1))
    symmetric = asymmetry <= 10 * torch.finfo(covariance.dtype).eps ** 0.5 * size
    if not symmetric.all():
        raise ValueError(f"covariance must be symmetric: state {int(symmetric.long().argmin())} is not")
    failed = torch.linalg.cholesky_ex(covariance).info.nonzero().flatten()
    if len(failed):
        state = int(failed[0])
        smallest = torch.linalg.eigvalsh(covariance[state])[0].item()
        raise ValueError(
            f"covariance must be positive definite: state {state} has the smallest eigenvalue {smallest:.3g}"
        )


def _symbols(y: Tensor, mask: Tensor, symbols: int) -> Tensor:
    """Integers y (B, T) from 0 to `symbols` - 1, and 0 where missing."""
    if y.ndim != 2:
        raise ValueError(f"y must have shape (B, T) for a categorical emission: got {tuple(y.shape)}")
    if y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
        raise ValueError(f"y must be integers for a categorical emission: got {y.dtype}")
    check_entries("y", y, ~mask | ((y >= 0) & (y < symbols)), f"lie between 0 and {symbols - 1}")
    return torch.where(mask, y, 0)


def _reals(y: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Finite y (B, T, D) in the dtype of the parameter `like` (K, D), and 0 where missing."""
    _check_features(y, like)
    check_same("y", "dtype", y.dtype, "the emission's parameters", like.dtype)
    check_entries("y", y, ~mask | y.isfinite(), "be finite where observed")
    return torch.where(mask, y, 0.0)


def _counts(y: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Whole numbers y (B, T, D) turned into the dtype of the parameter `like` (K, D), and 0 where missing."""
    _check_features(y, like)
    if y.dtype == torch.bool or y.is_complex() or (y.is_floating_point() and y.dtype != like.dtype):
        raise ValueError(f"y must be integers or have the rate's dtype {like.dtype}: got {y.dtype}")
    whole = y.isfinite() & (y >= 0) & (y == y.round() if y.is_floating_point() else True)
    check_entries("y", y, ~mask | whole, "be whole numbers, zero or more, where observed")
    return torch.where(mask, y, 0).to(like.dtype)


def _check_features(y: Tensor, like: Tensor) -> None:
    features = like.shape[1]
    if y.ndim != 3 or y.shape[2] != features:
        raise ValueError(f"y must have shape (B, T, D) with D = {features}: got {tuple(y.shape)}")
