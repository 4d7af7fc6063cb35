"""Gaussian noise: one standard deviation for all, or a variance for every entry."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_entries, check_finite, check_positive, check_probability
from helpers.observation.noise import (
    LOG_TWO_PI,
    Interval,
    broadcast_shape,
    central_interval,
    check_measurement,
    check_parameters,
    check_sampling,
)


class _Gaussian:
    """What follows from a mean and a standard deviation, whichever way they are given."""

    mean: Tensor
    standard_deviation: Tensor

    def sample(self, generator: Generator, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draw values of shape `sample_shape` + that of the mean, without gradient."""
        return sample_gaussian(self.mean, self.standard_deviation, generator, sample_shape)

    def cdf(self, value: Tensor) -> Tensor:
        """P(x ≤ value), elementwise."""
        value = check_measurement(value, self.mean)
        return torch.special.ndtr((value - self.mean) / self.standard_deviation)

    def quantile(self, probability: float) -> Tensor:
        """The value with probability `probability` at or below it."""
        check_probability("probability", probability)
        return self.mean + self.standard_deviation * standard_quantile(probability, self.mean)

    def interval(self, level: float) -> Interval:
        """The central interval that holds `level` of the probability."""
        return central_interval(self.quantile, level)


@dataclass(frozen=True, eq=False)
class Gaussian(_Gaussian):
    """Noise of constant size: every entry of a feature scatters alike, however large its mean.

    ::

        x ~ N(μ, σ²),   log p(x) = -½ ((x - μ) / σ)² - log σ - ½ log 2π

    Parameters
    ----------
    mean : Tensor (..., D)
        μ, in the unit of the measurement.
    standard_deviation : Tensor () or (D,)
        σ > 0, same unit: one for everything, or one per feature.
        For one per entry see `HeteroscedasticGaussian`.

    Raises
    ------
    ValueError
        If a parameter is not a floating-point tensor, dtypes, devices or shapes disagree, μ is not finite,
        σ is not positive and finite, or σ has more than one dimension.
    """

    mean: Tensor
    standard_deviation: Tensor

    def __post_init__(self):
        check_parameters({"mean": self.mean, "standard_deviation": self.standard_deviation})
        if self.standard_deviation.ndim > 1:
            shape = tuple(self.standard_deviation.shape)
            raise ValueError(
                f"standard_deviation must be a scalar or one per feature: got shape {shape}; "
                "HeteroscedasticGaussian takes one per entry"
            )
        check_finite("mean", self.mean)
        check_positive("standard_deviation", self.standard_deviation)

    @property
    def variance(self) -> Tensor:
        """σ², in the measurement's unit squared."""
        return self.standard_deviation.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of each finite `value`, elementwise, in nats."""
        value = check_measurement(value, self.mean)
        return gaussian_log_density(value, self.mean, self.standard_deviation)


@dataclass(frozen=True, eq=False)
class HeteroscedasticGaussian(_Gaussian):
    """Noise whose size is itself predicted: every entry has its own variance, given by its logarithm.

    ::

        x ~ N(μ, e^s),   log p(x) = -½ (s + (x - μ)² e^(-s) + log 2π)

    A network's unconstrained output can be s as it stands: the variance e^s is positive by construction,
    and no softplus or clamp is needed.

    Parameters
    ----------
    mean : Tensor (...)
        μ, in the unit of the measurement.
    log_variance : Tensor (...)
        s = log σ², same shape as `mean`.

    Raises
    ------
    ValueError
        If a parameter is not a floating-point tensor, dtypes or devices disagree, shapes differ, an entry is
        not finite, or σ or 1/σ would overflow (|s| above about 1420 in float64, 177 in float32).

    Source: Nix and Weigend (1994), Estimating the mean and variance of the target probability distribution,
    Proceedings of the IEEE International Conference on Neural Networks.
    """

    mean: Tensor
    log_variance: Tensor

    def __post_init__(self):
        check_parameters({"mean": self.mean, "log_variance": self.log_variance})
        if self.mean.shape != self.log_variance.shape:
            shapes = f"{tuple(self.log_variance.shape)} and {tuple(self.mean.shape)}"
            raise ValueError(f"log_variance must have the shape of mean: got {shapes}; Gaussian shares one")
        check_finite("mean", self.mean)
        bound = 2.0 * math.log(torch.finfo(self.mean.dtype).max)
        representable = self.log_variance.abs() < bound
        check_entries("log_variance", self.log_variance, representable, f"lie within ±{bound:.0f}")

    @property
    def standard_deviation(self) -> Tensor:
        """σ = e^(s/2), in the measurement's unit."""
        return torch.exp(self.log_variance / 2)

    @property
    def variance(self) -> Tensor:
        """σ² = e^s, in the measurement's unit squared."""
        return self.log_variance.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of each finite `value`, elementwise, in nats."""
        value = check_measurement(value, self.mean)
        standardised = (value - self.mean) * torch.exp(-self.log_variance / 2)
        return -0.5 * (self.log_variance + standardised.square() + LOG_TWO_PI)


def gaussian_log_density(value: Tensor, mean: Tensor, standard_deviation: Tensor) -> Tensor:
    """log N(x; μ, σ²) = -½ ((x - μ) / σ)² - log σ - ½ log 2π."""
    standardised = (value - mean) / standard_deviation
    return -0.5 * standardised.square() - standard_deviation.log() - 0.5 * LOG_TWO_PI


def standard_quantile(probability: float, like: Tensor) -> Tensor:
    """Φ⁻¹(probability), a scalar with the dtype and device of `like`."""
    return torch.special.ndtri(like.new_tensor(probability))


@torch.no_grad()
def sample_gaussian(
    mean: Tensor, standard_deviation: Tensor, generator: Generator, sample_shape: tuple[int, ...]
) -> Tensor:
    """Draw μ + σ ε with ε ~ N(0, 1)."""
    check_sampling(generator, sample_shape)
    shape = (*sample_shape, *broadcast_shape(mean, standard_deviation))
    noise = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + standard_deviation * noise
