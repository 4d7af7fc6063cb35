"""What a hidden Markov state emits: a symbol, a real vector, or counts.

Every emission offers `log_prob` for the recursions, `sample` for simulation, and `refitted`, the M-step
of Baum-Welch. Missing entries are marginalised one by one, and what stands in their place is never read.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_finite
from helpers.statespace.hmm_probabilities import check_distributions, log_probability
from helpers.statespace.hmm_values import check_counts, check_reals, check_symbols
from helpers.statespace.missing_patterns import Patterns

LOG_TWO_PI = math.log(2.0 * math.pi)


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
        _check_dimensions("probabilities", self.probabilities, "(K, S)")
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
        symbols = check_symbols(y, mask, self.probabilities.shape[1])
        log_prob = log_probability(self.probabilities).T[symbols]
        return torch.where(mask.unsqueeze(-1), log_prob, 0.0)

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw a symbol for each of the states (B, T), shape (B, T)."""
        rows = self.probabilities[states.flatten()]
        return torch.multinomial(rows, 1, generator=generator).reshape(states.shape)

    def refitted(self, y: Tensor, mask: Tensor, weight: Tensor) -> "CategoricalEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        seen = weight[mask]  # (N, K)
        counts = torch.zeros_like(self.probabilities.T).index_add_(0, y[mask], seen).T
        return CategoricalEmission(_averages(counts, counts.sum(-1, keepdim=True), self.probabilities))


@dataclass(frozen=True, eq=False)
class PoissonEmission:
    r"""Each state emits D independent counts, each with its own rate.

    .. math:: \log P(y \mid k) = \sum_d y_d \log \lambda_{kd} - \lambda_{kd} - \log y_d!

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
        _check_dimensions("rate", self.rate, "(K, D)")
        check_entries(
            "rate", self.rate, self.rate.isfinite() & (self.rate >= 0), "be zero or more and finite"
        )

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
        counts = check_counts(y, mask, self.rate)
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

    def refitted(self, y: Tensor, mask: Tensor, weight: Tensor) -> "PoissonEmission":
        """The emission that explains y best when step t belongs to state k with weight (B, T, K)."""
        counts = check_counts(y, mask, self.rate)
        total = torch.einsum("btk,btd->kd", weight, counts)
        exposure = torch.einsum("btk,btd->kd", weight, mask.to(weight))
        return PoissonEmission(_averages(total, exposure, self.rate))


@dataclass(frozen=True, eq=False)
class GaussianEmission:
    r"""Each state emits a real vector around its own mean, with its own covariance.

    .. math:: y \mid k \sim N(\mu_k, \Sigma_k)

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
        _check_dimensions("mean", self.mean, "(K, D)")
        expected = (*self.mean.shape, self.mean.shape[1])
        if self.covariance.shape != expected:
            found = tuple(self.covariance.shape)
            raise ValueError(f"covariance must have shape (K, D, D) = {expected}: got {found}")
        if (self.covariance.dtype, self.covariance.device) != (self.mean.dtype, self.mean.device):
            raise ValueError(
                f"covariance must have the dtype and device of mean: got {self.covariance.dtype} on "
                f"{self.covariance.device} and {self.mean.dtype} on {self.mean.device}"
            )
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
        r"""Log density of the observed entries of y (B, T, D), shape (B, T, K).

        Whitens the residuals of all states at once: with :math:`L L^\top = \Sigma_k`,

        .. math:: \log p(y \mid k) = -\tfrac12 \|L^{-1} (y - \mu_k)\|^2 - \log \det L - \tfrac{D}{2} \log 2\pi
        """
        values = check_reals(y, mask, self.mean)
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

    def refitted(self, y: Tensor, mask: Tensor, weight: Tensor) -> "GaussianEmission":
        r"""The emission that explains y best when step t belongs to state k with weight (B, T, K).

        Missing entries of a partly observed vector stand for their expectation given the observed ones, and
        their conditional covariance C adds to the scatter:

        .. math::
            \mu_k = \sum_t w_{tk} \hat y_{tk} / \sum_t w_{tk}, \qquad
            \Sigma_k = \sum_t w_{tk} \left[ (\hat y_{tk} - \mu_k)(\hat y_{tk} - \mu_k)^\top + C_{tk} \right]
            / \sum_t w_{tk}

        Source: Little and Rubin (2002), Statistical analysis with missing data, section 11.2.
        """
        values, patterns = check_reals(y, mask, self.mean), Patterns.of(mask)
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
        mean = _averages(torch.einsum("nk,nkd->kd", weight, completed), total, self.mean)
        residual = completed - mean
        scatter = torch.einsum("nkd,nke->kde", weight.unsqueeze(-1) * residual, residual) + uncertainty
        covariance = _averages(scatter, total.unsqueeze(-1), self.covariance)
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
        return -0.5 * squares.T - (log_determinant + 0.5 * LOG_TWO_PI * seen.to(factor).sum())

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


def _averages(total: Tensor, weight: Tensor, unsupported: Tensor) -> Tensor:
    """total / weight; where nothing has weight, what was there before."""
    return torch.where(weight > 0, total / weight, unsupported)


def _check_dimensions(name: str, tensor: Tensor, shape: str) -> None:
    if tensor.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}: got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating point: got {tensor.dtype}")


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
