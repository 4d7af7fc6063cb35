"""Noise of counts: Poisson, and the negative binomial that scatters more."""

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from helpers.arguments import (
    check_broadcastable,
    check_finite,
    check_not_negative,
    check_positive,
    check_probability,
)
from helpers.observation.count_distribution import (
    count_cdf,
    count_log_probability,
    count_quantile,
    sample_poisson,
)
from helpers.observation.noise import (
    Interval,
    broadcast_shape,
    central_interval,
    check_count,
    check_parameters,
    check_sampling,
)


class _Counts:
    """What follows from a mean, a standard deviation and a distribution function, whichever they are."""

    @torch.no_grad()
    def quantile(self, probability: float) -> Tensor:
        """The smallest count with at least `probability` at or below it."""
        check_probability("probability", probability)
        exact = type(self)(*(getattr(self, field.name).double() for field in fields(self)))
        quantile = count_quantile(exact.cdf, exact.mean, exact.standard_deviation, probability)
        return quantile.to(self.mean.dtype)

    def interval(self, level: float) -> Interval:
        """The central interval; it holds at least `level` of the probability."""
        return central_interval(self.quantile, level)


@dataclass(frozen=True, eq=False)
class Poisson(_Counts):
    """Counts of independent events: the variance equals the mean.

    ::

        k ~ Poisson(μ),   log p(k) = k log μ - μ - log k!

    Parameters
    ----------
    mean : Tensor (...)
        μ > 0, in counts.

    Raises
    ------
    ValueError
        If μ is not a floating-point tensor of positive finite entries.
    """

    mean: Tensor

    def __post_init__(self):
        check_parameters({"mean": self.mean})
        check_positive("mean", self.mean)

    @property
    def variance(self) -> Tensor:
        """μ, in counts squared."""
        return self.mean

    @property
    def standard_deviation(self) -> Tensor:
        """√μ, in counts."""
        return self.mean.sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of each count, elementwise, in nats."""
        value = check_count(value, self.mean)
        return count_log_probability(value, self.mean, torch.zeros_like(self.mean))

    @torch.no_grad()
    def sample(self, generator: Generator, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draw counts of shape `sample_shape + (...)` in the dtype of μ, without gradient."""
        check_sampling(generator, sample_shape)
        return sample_poisson(self.mean.expand(*sample_shape, *self.mean.shape), generator)

    @torch.no_grad()
    def cdf(self, value: Tensor) -> Tensor:
        """P(k ≤ value), elementwise, without gradient."""
        value = check_count(value, self.mean)
        return torch.special.gammaincc(value.double() + 1, self.mean.double()).to(value.dtype)


@dataclass(frozen=True, eq=False)
class NegativeBinomial(_Counts):
    """Counts whose rate itself varies: the variance grows with the square of the mean.

    ::

        k ~ Poisson(Λ),  Λ ~ Gamma with mean μ and variance α μ²;   E k = μ,  Var k = μ + α μ²
        log p(k) = log Γ(k + 1/α) - log Γ(1/α) - log k! + k log(αμ / (1 + αμ)) - log(1 + αμ) / α

    As α → 0 this becomes Poisson(μ), smoothly, and α = 0 is allowed.

    Parameters
    ----------
    mean : Tensor (...)
        μ > 0, in counts.
    dispersion : Tensor (...)
        α ≥ 0, without unit; broadcasts with `mean`. SciPy's nbinom(n, p) has n = 1/α, p = 1/(1 + αμ).

    Raises
    ------
    ValueError
        If a parameter is not a floating-point tensor, dtypes, devices or shapes disagree, μ is not positive
        and finite, α is negative or not finite, or α²μ overflows, which the gradient divides by.

    Source: Hilbe (2011), Negative Binomial Regression, 2nd edition, Cambridge University Press (NB2 model).
    """

    mean: Tensor
    dispersion: Tensor

    def __post_init__(self):
        check_parameters({"mean": self.mean, "dispersion": self.dispersion})
        check_positive("mean", self.mean)
        check_not_negative("dispersion", self.dispersion)
        check_finite("dispersion² · mean", self.dispersion * (self.dispersion * self.mean))

    def _check_count(self, value: Tensor) -> Tensor:
        """Return counts in the dtype of the mean, none so large that α k overflows."""
        value = check_count(value, self.mean)
        check_broadcastable("value", value.shape, "dispersion", self.dispersion.shape)
        check_finite("dispersion · value", self.dispersion * value)
        return value

    @property
    def variance(self) -> Tensor:
        """μ + α μ², in counts squared."""
        return self.mean + self.dispersion * self.mean.square()

    @property
    def standard_deviation(self) -> Tensor:
        """√μ √(1 + αμ), in counts; finite even where the variance is not."""
        return self.mean.sqrt() * torch.sqrt(1 + self.dispersion * self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of each count, elementwise, in nats."""
        value = self._check_count(value)
        return count_log_probability(value, self.mean, self.dispersion)

    @torch.no_grad()
    def sample(self, generator: Generator, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draw counts of shape `sample_shape` + parameters' shape in the dtype of μ, without gradient."""
        check_sampling(generator, sample_shape)
        shape = (*sample_shape, *broadcast_shape(self.mean, self.dispersion))
        dispersion = self.dispersion.expand(shape)
        overdispersed = dispersion > torch.finfo(dispersion.dtype).tiny  # of which the reciprocal is finite
        shape_parameter = 1 / torch.where(overdispersed, dispersion, 1)
        gamma = torch._standard_gamma(shape_parameter, generator=generator)
        rate = self.mean * torch.where(overdispersed, gamma / shape_parameter, 1)
        return sample_poisson(rate, generator)

    @torch.no_grad()
    def cdf(self, value: Tensor) -> Tensor:
        """P(k ≤ value), elementwise, without gradient."""
        value = self._check_count(value)
        exact = count_cdf(value.double(), self.mean.double(), self.dispersion.double())
        return exact.to(value.dtype)
