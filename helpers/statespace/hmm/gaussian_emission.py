"""What a hidden Markov state emits: a real vector around its own mean, with any of its entries missing.

Observations are grouped by which of their entries are missing, so that each group shares its matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_finite, check_like, check_same, refuse_where
from helpers.observation import LOG_TWO_PI
from helpers.statespace.gaussian.step import apply, observed_pairs
from helpers.statespace.hmm.emissions import average, check_features, check_matrix
from helpers.statespace.matrices import symmetric


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
        check_matrix("mean", self.mean, "(K, D)")
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

    def check(self, y: Tensor, mask: Tensor) -> Tensor:
        """Finite y (B, T, D) in μ's dtype, and 0 where missing."""
        check_features(y, self.mean)
        check_same("y", "dtype", y.dtype, "the emission's parameters", self.mean.dtype)
        check_entries("y", y, ~mask | y.isfinite(), "be finite where observed")
        return torch.where(mask, y, 0.0)

    def log_prob(self, y: Tensor, mask: Tensor) -> Tensor:
        """Log density of the observed entries of y (B, T, D), shape (B, T, K).

        Whitens the residuals of all states at once, with L Lᵀ = Σ_k::

            log p(y | k) = -½ ‖L⁻¹ (y - μ_k)‖² - log det L - (D / 2) log 2π
        """
        patterns = Patterns.of(mask)
        groups = patterns.split(y.flatten(0, 1))
        densities = [
            self._density(group, seen) for group, seen in zip(groups, patterns.observed, strict=True)
        ]
        return patterns.join(densities).unflatten(0, y.shape[:2])

    @torch.no_grad()
    def sample(self, states: Tensor, generator: Generator) -> Tensor:
        """Draw a vector for each of the states (B, T), shape (B, T, D)."""
        mean = self.mean[states]
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + apply(torch.linalg.cholesky(self.covariance)[states], noise)

    def refit(self, y: Tensor, mask: Tensor, weight: Tensor) -> "GaussianEmission":
        """The emission that explains y best when step t belongs to state k with weight w (B, T, K).

        Missing entries of a partly observed vector stand for their expectation ŷ given the observed ones, and
        their conditional covariance C adds to the scatter::

            μ_k = Σ_t w_tk ŷ_tk / Σ_t w_tk
            Σ_k = Σ_t w_tk [(ŷ_tk - μ_k)(ŷ_tk - μ_k)ᵀ + C_tk] / Σ_t w_tk

        Source: Little and Rubin (2002), Statistical analysis with missing data, section 11.2.
        """
        patterns = Patterns.of(mask)
        weight = (weight * mask.any(-1, keepdim=True)).flatten(0, 1)  # (N, K)
        completed, uncertainty = [], torch.zeros_like(self.covariance)
        groups = zip(patterns.split(y.flatten(0, 1)), patterns.split(weight), patterns.observed, strict=True)
        for group, group_weight, seen in groups:
            expectation, conditional = self._complete(group, seen)
            completed.append(expectation)
            uncertainty += group_weight.sum(0)[:, None, None] * conditional
        completed = patterns.join(completed)  # (N, K, D)
        total = weight.sum(0).unsqueeze(-1)  # (K, 1)
        mean = average(torch.einsum("nk,nkd->kd", weight, completed), total, self.mean)
        residual = completed - mean
        scatter = torch.einsum("nkd,nke->kde", weight.unsqueeze(-1) * residual, residual) + uncertainty
        covariance = average(scatter, total.unsqueeze(-1), self.covariance)
        return GaussianEmission(mean, symmetric(covariance))

    def _density(self, values: Tensor, seen: Tensor) -> Tensor:
        """Log density (N, K) of values (N, D), of which the entries `seen` (D,) are observed.

        N is the last axis of the work, where long rows add up fast, and D the first.
        """
        factor = torch.linalg.cholesky(observed_pairs(self.covariance, seen))  # (K, D, D)
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
        gain = torch.linalg.solve(observed_pairs(self.covariance, seen), visible.mT).mT * seen  # (K, D, D)
        residual = (values.unsqueeze(1) - self.mean) * seen
        expectation = self.mean + torch.einsum("nkd,ked->nke", residual, gain)
        expectation = torch.where(seen, values.unsqueeze(1), expectation)
        conditional = self.covariance - gain @ visible.mT
        return expectation, conditional * ~(seen | seen.unsqueeze(-1))


def _check_positive_definite(covariance: Tensor) -> None:
    size, asymmetry = (m.abs().amax((-2, -1)) for m in (covariance, covariance - covariance.mT))
    refuse_where(
        asymmetry > 10 * torch.finfo(covariance.dtype).eps ** 0.5 * size,
        lambda state: f"covariance must be symmetric: state {state} is not",
    )
    refuse_where(
        torch.linalg.cholesky_ex(covariance).info > 0,
        lambda state: (
            f"covariance must be positive definite: state {state} has the smallest eigenvalue "
            f"{torch.linalg.eigvalsh(covariance[state])[0].item():.3g}"
        ),
    )


@dataclass(frozen=True, eq=False)
class Patterns:
    """The different rows of a mask (B, T, D), and which of the N = B T steps show which.

    Attributes
    ----------
    observed : Tensor (P, D), bool
        Each pattern that occurs; True = observed.
    order : Tensor (N,), int64, or None
        The steps sorted by pattern; None when there is one pattern and nothing to sort.
    sizes : list of int
        Number of steps of each pattern.
    """

    observed: Tensor
    order: Tensor | None
    sizes: list[int]

    @classmethod
    def of(cls, mask: Tensor) -> "Patterns":
        """Find the patterns of a mask."""
        rows = mask.flatten(0, 1)
        if rows.all():
            return cls(rows[:1], None, [len(rows)])
        observed, pattern, sizes = _different_rows(rows)
        return cls(observed, pattern.argsort(stable=True), sizes.tolist())

    def split(self, rows: Tensor) -> Sequence[Tensor]:
        """The rows (N, ...) of each pattern."""
        return (rows if self.order is None else rows[self.order]).split(self.sizes)

    def join(self, groups: Sequence[Tensor]) -> Tensor:
        """Undo `split`."""
        if self.order is None:
            return groups[0]
        return torch.cat(list(groups))[self.order.argsort()]


def _different_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The different rows of a bool matrix, the index among them of every row, and how often each occurs."""
    features = rows.shape[1]
    if features > 62:
        return torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    powers = 2 ** torch.arange(features, device=rows.device)
    code, pattern, sizes = torch.unique((rows * powers).sum(-1), return_inverse=True, return_counts=True)
    return (code.unsqueeze(-1) & powers) > 0, pattern, sizes
