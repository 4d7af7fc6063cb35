"""The negative binomial's log probability without cancellation, its Poisson limit included.

The textbook formula subtracts log-gammas of size 10⁹ to leave a result of size 10. Loader's saddle-point form
never builds them: it is a deviance that vanishes at k = μ, plus small Stirling corrections.
"""

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
STIRLING_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
ASINH_SERIES = (1.0, -1 / 6, 3 / 40, -5 / 112, 35 / 1152, -63 / 2816)


def count_log_probability(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Log probability of a count k with mean μ and variance μ + α μ².

    log p(k) = -D(k, μ) - ½ log(2πk (1 + αk)) - δ(k) + δ(k + 1/α) - δ(1/α),   k ≥ 1
    log p(0) = -D(0, μ)

    with D half the unit deviance and δ Stirling's correction. For α = 0 it is the Poisson distribution.

    Source: Loader (2000), Fast and Accurate Computation of Binomial Probabilities, which gives the same form
    for the binomial and the Poisson distribution.
    """
    is_positive = count > 0
    positive = torch.where(is_positive, count, 1)
    prefactor = HALF_LOG_TWO_PI + 0.5 * torch.log(positive) + 0.5 * torch.log1p(dispersion * positive)
    shifted = dispersion / (1 + dispersion * positive)
    corrections = (
        stirling_correction(shifted) - stirling_correction(dispersion) - stirling_correction(1 / positive)
    )
    return torch.where(is_positive, corrections - prefactor, 0) - half_deviance(count, mean, dispersion)


def half_deviance(count: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """How far a count lies from its mean: zero at k = μ, positive elsewhere.

    D(k, μ) = k log ρ - log(σ) / α,   ρ = k (1 + αμ) / (μ (1 + αk)),   σ = (1 + αk) / (1 + αμ)

    Both logarithms are taken as log ρ = asinh((ρ - 1/ρ) / 2), whose argument is a multiple of k - μ: exact to
    rounding both near k = μ and far from it.
    """
    difference = count - mean
    positive = torch.where(count > 0, count, 1)
    at_count, at_mean = 1 + dispersion * positive, 1 + dispersion * mean
    log_rho = torch.asinh(0.5 * difference * (1 / (mean * at_count) + 1 / (positive * at_mean)))
    sinh_log_sigma = 0.5 * difference * (1 / at_mean + 1 / (1 + dispersion * count))
    return count * log_rho - sinh_log_sigma * asinh_ratio(dispersion * sinh_log_sigma)


def stirling_correction(reciprocal: Tensor) -> Tensor:
    """What Stirling's formula leaves out, as a function of a = 1/x; smooth down to a = 0.

    δ(x) = log Γ(x) - (x - ½) log x + x - ½ log 2π = 1/(12x) - 1/(360x³) + 1/(1260x⁵) - …
    """
    is_small = reciprocal < 1 / 16
    small = torch.where(is_small, reciprocal, 0)
    argument = 1 / torch.where(is_small, 1, reciprocal)
    direct = torch.lgamma(argument) - (argument - 0.5) * argument.log() + argument - HALF_LOG_TWO_PI
    return torch.where(is_small, small * polynomial(small.square(), STIRLING_SERIES), direct)


def asinh_ratio(x: Tensor) -> Tensor:
    """asinh(x) / x, smooth through x = 0, where it is 1."""
    is_small = x.abs() < 0.05
    small = torch.where(is_small, x, 0)
    large = torch.where(is_small, 1, x)
    return torch.where(is_small, polynomial(small.square(), ASINH_SERIES), torch.asinh(large) / large)


def polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c₀ + c₁ x + c₂ x² + …, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total
