"""What a hidden Markov state emits: a real vector around its own mean, with any of its entries missing.

Observations are grouped by which of their entries are missing, so that each group shares its matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from helpers.observation import LOG_TWO_PI
from helpers.statespace.gaussian.step import apply, observed_pairs
from helpers.statespace.hmm.emissions import (
    NO_BELIEF,
    Belief,
    average,
    check_features,
    check_parameter,
    refuse_vmap,
)
from helpers.statespace.matrices import symmetric

RESOLUTION = 0.65
"""Power of the machine precision ε: deviations that share of a mean, or less, are lost in its rounding.

A mean that is ε of the largest reading off the likeliest costs ½ ε² / ε^1.3 = ½ ε^0.7 nats per reading, and
one that is √N ε off, as rounding of a sum of N leaves it, ½ N ε^0.7: `ascend` takes √ε.
"""


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
    diagonal : bool
        Whether features are independent within a state, before a fit and after it.
    tied : bool
        Whether all states share one covariance, before a fit and after it.

    Raises
    ------
    ValueError
        Naming the shape that clashes, the entry that is not finite, the state whose covariance is not
        symmetric or not positive definite, with its smallest eigenvalue, or neither diagonal nor tied where
        it must be.
    """

    mean: Tensor
    covariance: Tensor
    diagonal: bool = False
    tied: bool = False

    def __post_init__(self) -> None:
        check_parameter("mean", self.mean, "(K, D)")
        check_floating("covariance", self.covariance)
        refuse_vmap("covariance", self.covariance)
        expected = (*self.mean.shape, self.mean.shape[1])
        if self.covariance.shape != expected:
            found = tuple(self.covariance.shape)
            raise ValueError(f"covariance must have shape (K, D, D) = {expected}: got {found}")
        check_like("covariance", self.covariance, "mean", self.mean)
        check_finite("mean", self.mean)
        check_finite("covariance", self.covariance)
        _check_positive_definite(self.covariance.detach())
        self._check_structure(self.covariance.detach())

    @property
    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.mean

    @property
    def states(self) -> int:
        """K."""
        return len(self.mean)

    @property
    def total_shape(self) -> torch.Size:
        """Of what pseudo-observations add up to: squared deviations in each state, (K, D, D)."""
        return self.covariance.shape

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

    def refit(
        self, y: Tensor, mask: Tensor, weight: Tensor, belief: Belief = NO_BELIEF
    ) -> "GaussianEmission":
        """The emission that explains y best when step t belongs to state k with weight w (B, T, K).

        Missing entries of a partly observed vector stand for their expectation ŷ given the observed ones, and
        their conditional covariance C adds to the scatter, as do n pseudo-observations with scatter Ψ::

            μ_k = Σ_t w_tk ŷ_tk / Σ_t w_tk
            Σ_k = (Ψ + Σ_t w_tk [(ŷ_tk - μ_k)(ŷ_tk - μ_k)ᵀ + C_tk]) / (n + Σ_t w_tk)

        Of a diagonal covariance, only the diagonal counts; a tied one has its sums over all states. Where
        entries of a mean are fixed, the others are the likeliest beside them under the old Σ_k.

        Source: Little and Rubin (2002), Statistical analysis with missing data, section 11.2.
        """
        weight = (weight * mask.any(-1, keepdim=True)).flatten(0, 1)  # (N, K)
        completed, uncertainty = self._expected(y.flatten(0, 1), mask, weight)
        total = weight.sum(0).unsqueeze(-1)  # (K, 1)
        mean = average(torch.einsum("nk,nkd->kd", weight, completed), total, self.mean)
        if "mean" in belief.fixed:
            mean = self._partly_moved(mean, belief.fixed["mean"])
        residual = completed - mean
        scatter = torch.einsum("nkd,nke->kde", weight.unsqueeze(-1) * residual, residual) + uncertainty
        covariance = self._average_scatter(scatter + belief.total, (total + belief.steps).unsqueeze(-1))
        if belief.floor is not None:
            covariance = raise_to(belief.floor, covariance)
        return replace(
            self, mean=mean, covariance=belief.keep("covariance", self.covariance, symmetric(covariance))
        )

    def log_prior(self, belief: Belief) -> Tensor:
        """-½ Σ_k (n log |Σ_k| + tr Ψ Σ_k⁻¹), an inverse-Wishart density but for a constant."""
        factor = torch.linalg.cholesky(self.covariance)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)  # (K, 1)
        total = torch.as_tensor(belief.total).to(factor)
        deviations = torch.where(total != 0, total * torch.cholesky_inverse(factor), 0.0).sum()
        return -0.5 * ((belief.steps * log_determinant).sum() + deviations)

    def floor(self, y: Tensor, mask: Tensor, belief: Belief, share: float) -> Tensor:
        """The smallest variances (D,) that a fit may reach; what cannot start above them is refused.

        They are this share of the data's variances, and so large that rounding a mean costs nothing. A
        feature that was never observed, or varies among the pseudo-observations only, has the start's
        variance in place of the data's.
        """
        variance = _variance(y, mask)
        check_finite("the variance of y", variance)
        scatter = torch.as_tensor(belief.total).expand(self.covariance.shape)
        varies = (scatter.diagonal(dim1=-2, dim2=-1) > 0).all(0) | ~mask.flatten(0, 1).any(0)
        learned = self._learned(belief)
        refuse_where(
            (variance == 0) & ~varies & learned.any(),
            lambda d: f"y must vary for covariances to be learned: the variance of feature {d} is 0",
        )
        own = self.covariance.diagonal(dim1=-2, dim2=-1).amin(0)
        resolution = torch.finfo(y.dtype).eps ** RESOLUTION * y.flatten(0, 1).abs().amax(0)
        floor = torch.maximum(share * torch.where(variance > 0, variance, own), resolution.square())
        smallest = in_units_of(floor, self.covariance).eigenvalues[:, 0]
        refuse_where(
            learned & (smallest < 0.9),  # a former fit's result may lie below by round-off
            lambda state: (
                f"covariance must start above the variance floor: state {state} has {smallest[state]:.3g} "
                "times the floor in some direction; variance_floor lowers it down to the resolution of y"
            ),
        )
        return floor

    def collapsed(self, belief: Belief) -> list[int]:
        """The states whose variance was learned and is, in some direction, at most twice the floor.

        Nor may it be less than √ε of what the state's own variances are: then rounding decides.
        """
        low = in_units_of(belief.floor, self.covariance).eigenvalues[:, 0] <= 2
        deviation = self.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        correlation = self.covariance / deviation.unsqueeze(-1) / deviation.unsqueeze(-2)
        low |= torch.linalg.eigvalsh(correlation)[:, 0] < torch.finfo(deviation.dtype).eps ** 0.5
        return (low & self._learned(belief)).nonzero().flatten().tolist()

    def _learned(self, belief: Belief) -> Tensor:
        """Whether the covariance of a state (K,) is not fixed."""
        fixed = belief.fixed.get("covariance", torch.zeros_like(self.covariance, dtype=torch.bool))
        return ~fixed.flatten(1).all(1)

    def _partly_moved(self, target: Tensor, fixed: Tensor) -> Tensor:
        """The likeliest means (K, D), by generalised least squares, if the averages are `target`.

        ::

            Λ_FF (m - μ)_F = (Λ (ȳ - μ))_F,   Λ = Σ⁻¹, F the free entries
        """
        precision = torch.cholesky_inverse(torch.linalg.cholesky(self.covariance))
        pull = (precision @ (target - self.mean).unsqueeze(-1)).masked_fill(fixed.unsqueeze(-1), 0.0)
        blocks = observed_pairs(precision, ~fixed)
        return self.mean + torch.linalg.solve(blocks, pull).squeeze(-1)

    def _average_scatter(self, scatter: Tensor, weight: Tensor) -> Tensor:
        """The covariances (K, D, D) of this structure that fit the scatter (K, D, D) of weight (K, 1, 1)."""
        if self.diagonal:
            scatter = scatter * torch.eye(scatter.shape[-1], dtype=scatter.dtype, device=scatter.device)
        if self.tied:
            scatter, weight = (part.sum(0, keepdim=True).expand_as(part) for part in (scatter, weight))
        return average(scatter, weight, self.covariance)

    def _expected(self, y: Tensor, mask: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Completed vectors (N, K, D), and the weighted sum (K, D, D) of what stays uncertain of them."""
        patterns = Patterns.of(mask)
        completed, uncertainty = [], torch.zeros_like(self.covariance)
        groups = zip(patterns.split(y), patterns.split(weight), patterns.observed, strict=True)
        for group, group_weight, seen in groups:
            expectation, conditional = self._complete(group, seen)
            completed.append(expectation)
            uncertainty += group_weight.sum(0)[:, None, None] * conditional
        return patterns.join(completed), uncertainty

    def _density(self, values: Tensor, seen: Tensor) -> Tensor:
        """Log density (N, K) of values (N, D), of which the entries `seen` (D,) are observed."""
        factor = torch.linalg.cholesky(observed_pairs(self.covariance, seen))  # (K, D, D)
        eye = torch.eye(len(seen), dtype=factor.dtype, device=factor.device)
        whiten = torch.linalg.solve_triangular(factor, eye, upper=False) * seen
        centre = self.mean.detach().mean(0)
        offset = torch.einsum("kde,ke->dk", whiten, self.mean - centre)  # (D, K)
        values = values - centre
        log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_density = -log_determinant - 0.5 * LOG_TWO_PI * seen.to(factor).sum()  # (K,)
        for feature in range(len(seen)):
            z = torch.addmm(-offset[feature], values, whiten[:, feature].T)  # (N, K)
            log_density = torch.addcmul(log_density, z, z, value=-0.5)
        if not log_density.sum().isfinite():  # infinities may have met
            log_density = log_density.nan_to_num(nan=-torch.inf, neginf=-torch.inf)
        return log_density

    def _complete(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Expectation (N, K, D) and covariance (K, D, D) of all entries, given those that are seen."""
        visible = self.covariance * seen  # covariance of every entry with the seen ones
        gain = torch.linalg.solve(observed_pairs(self.covariance, seen), visible.mT).mT * seen  # (K, D, D)
        residual = (values.unsqueeze(1) - self.mean) * seen
        expectation = self.mean + torch.einsum("nkd,ked->nke", residual, gain)
        expectation = torch.where(seen, values.unsqueeze(1), expectation)
        conditional = self.covariance - gain @ visible.mT
        return expectation, conditional * ~(seen | seen.unsqueeze(-1))

    def _check_structure(self, covariance: Tensor) -> None:
        for name in ("diagonal", "tied"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False: got {getattr(self, name)!r}")
        if self.diagonal:
            beside = covariance - torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
            check_entries("covariance", covariance, beside == 0, "be diagonal, as it says")
        if self.tied:
            refuse_where(
                (covariance != covariance[0]).any(-1).any(-1),
                lambda state: f"covariance must be tied, as it says: state {state} differs from state 0",
            )


def _variance(y: Tensor, mask: Tensor) -> Tensor:
    """Of the observed values of each feature (D,): 0, whatever rounding says, if there are no two of them."""
    rows, seen = y.flatten(0, 1), mask.flatten(0, 1)
    number = seen.sum(0).clamp(min=1)
    residual = torch.where(seen, rows - rows.sum(0) / number, 0.0)
    lowest, highest = (torch.where(seen, rows, end).aminmax(dim=0) for end in (torch.inf, -torch.inf))
    return torch.where(lowest.min < highest.max, residual.square().sum(0) / number, 0.0)


def in_units_of(variance: Tensor, covariance: Tensor) -> torch.return_types.linalg_eigh:
    """Eigenvalues and eigenvectors of covariances (K, D, D) with these variances (D,) as units."""
    unit = variance.sqrt()
    return torch.linalg.eigh(covariance / unit / unit.unsqueeze(-1))


def raise_to(floor: Tensor, covariance: Tensor) -> Tensor:
    """The likeliest covariances (K, D, D) for which Σ - diag(floor) is positive semi-definite, too.

    In units of the floor, eigenvalues below 1 become 1: of all covariances that far from zero, this maximises
    the likelihood of vectors whose scatter is the given one.
    """
    value, vector = in_units_of(floor, covariance)
    lack = floor.sqrt().unsqueeze(-1) * vector * (1 - value).clamp(min=0).sqrt().unsqueeze(-2)
    return covariance + lack @ lack.mT


def _check_positive_definite(covariance: Tensor) -> None:
    """Refuse asymmetry beyond round-off in an entry's own unit, and what has no Cholesky factor."""
    deviation = covariance.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    unit = deviation.unsqueeze(-1) * deviation.unsqueeze(-2)
    refuse_where(
        ((covariance - covariance.mT).abs() > torch.finfo(covariance.dtype).eps ** 0.75 * unit)
        .any(-1)
        .any(-1),
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
