"""A Gaussian seen through an instrument with a detection limit."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_finite, check_positive, check_probability
from helpers.observation.gaussian import gaussian_log_density, sample_gaussian, standard_quantile
from helpers.observation.noise import (
    LOG_TWO_PI,
    Interval,
    broadcast_shape,
    central_interval,
    check_measurement,
    check_parameters,
)

SQRT_HALF = math.sqrt(0.5)
SQRT_HALF_PI = math.sqrt(0.5 * math.pi)
FARTHEST = 40.0  # standard deviations


@dataclass(frozen=True, eq=False)
class CensoredGaussian:
    """Gaussian measurements of which the instrument records nothing finer below its detection limit.

    The true value is y ~ N(μ, σ²); what is recorded is x = max(y, L). A recorded value at the limit L (or
    below it, whatever was typed in to say "not detected") means only y ≤ L; it is not a measurement of L.

    ::

        log p(x) = log Φ((L - μ) / σ)   where x ≤ L      (a probability)
        log p(x) = log N(x; μ, σ²)      where x > L      (a density)

    `mean`, `standard_deviation` and `variance` describe the true value y, which is what one wants to
    estimate; `recorded_mean` is the mean of x, which is what a naive average estimates.

    Parameters
    ----------
    mean : Tensor (...)
        μ, in the unit of the measurement.
    standard_deviation : Tensor (...)
        σ > 0, same unit.
    limit : Tensor (...)
        L, same unit. The three broadcast together.

    Raises
    ------
    ValueError
        If a parameter is not a floating-point tensor, dtypes, devices or shapes disagree, μ or L is not
        finite, or σ is not positive and finite.

    Source: Tobin (1958), Estimation of relationships for limited dependent variables, Econometrica 26, 24-36.
    """

    mean: Tensor
    standard_deviation: Tensor
    limit: Tensor

    def __post_init__(self):
        check_parameters(
            {"mean": self.mean, "standard_deviation": self.standard_deviation, "limit": self.limit}
        )
        check_finite("mean", self.mean)
        check_positive("standard_deviation", self.standard_deviation)
        check_finite("limit", self.limit)

    @property
    def variance(self) -> Tensor:
        """σ², the variance of the true value y."""
        return self.standard_deviation.square()

    @property
    def recorded_mean(self) -> Tensor:
        """E[max(y, L)] = max(μ, L) + σ (n(a) - a Φ(-a)) with a = |L - μ| / σ; never below μ or L."""
        distance = _standardise((self.limit - self.mean).abs(), self.standard_deviation)
        density = torch.exp(-0.5 * distance.square() - 0.5 * LOG_TWO_PI)
        mills = SQRT_HALF_PI * torch.special.erfcx(distance * SQRT_HALF)  # Φ(-a) / n(a)
        excess = density * (1 - distance * mills).clamp(min=0)
        return torch.maximum(self.mean, self.limit) + self.standard_deviation * excess

    def log_prob(self, value: Tensor) -> Tensor:
        """Log likelihood of each finite recorded `value`, elementwise, in nats."""
        value = check_measurement(value, self.mean)
        below = value <= self.limit
        # Each branch sees harmless numbers where the other one applies, so that no NaN enters the gradient.
        limit = torch.where(below, self.limit, self.mean)
        detected = torch.where(below, self.mean, value)
        log_probability_below = log_normal_cdf(_standardise(limit - self.mean, self.standard_deviation))
        log_density = gaussian_log_density(detected, self.mean, self.standard_deviation)
        return torch.where(below, log_probability_below, log_density)

    def sample(self, generator: Generator, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draw recorded values max(y, L) of shape `sample_shape` + parameters' shape, without gradient."""
        mean = self.mean.expand(broadcast_shape(self.mean, self.limit))
        latent = sample_gaussian(mean, self.standard_deviation, generator, sample_shape)
        return torch.maximum(latent, self.limit.detach())

    def quantile(self, probability: float) -> Tensor:
        """The recorded value with probability `probability` at or below it: never below the limit."""
        check_probability("probability", probability)
        latent = self.mean + self.standard_deviation * standard_quantile(probability, self.mean)
        return torch.maximum(latent, self.limit)

    def interval(self, level: float) -> Interval:
        """The central interval of the recorded value."""
        return central_interval(self.quantile, level)


def _standardise(difference: Tensor, standard_deviation: Tensor) -> Tensor:
    """Difference / σ, at most 40: what Φ leaves beyond is 0 in any float, and so must be its gradient.

    Cut off after the division, a quotient that overflows would still make that gradient 0 · ∞.
    """
    return torch.minimum(difference, FARTHEST * standard_deviation) / standard_deviation


def log_normal_cdf(z: Tensor) -> Tensor:
    """log Φ(z), to full precision in both tails, and so its gradient.

    ::

        log Φ(z) = log(erfcx(-z / √2) / 2) - z² / 2      z < 0
        log Φ(z) = log(1 - erfc(z / √2) / 2)             z ≥ 0
    """
    # torch.special.log_ndtr has these values, but its gradient is a difference of numbers of size z² / 2.
    is_negative = z < 0
    negative = torch.where(is_negative, z, 0)
    positive = torch.where(is_negative, 0, z)
    lower = torch.log(torch.special.erfcx(-negative * SQRT_HALF) / 2) - negative.square() / 2
    upper = torch.log1p(-torch.special.erfc(positive * SQRT_HALF) / 2)
    return torch.where(is_negative, lower, upper)
