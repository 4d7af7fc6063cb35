"""Noise models: one way to call each function, and the right answer where it is known."""

import math

import mpmath
import numpy as np
import scipy.optimize
import scipy.stats
import torch
from fuzz_draw import Call, Draw
from fuzz_oracles import (
    censored_log_density,
    differs,
    entries_complaint,
    first_complaint,
    gaussian_log_density,
    negative_binomial_log_probability,
    poisson_log_probability,
)

from helpers import (
    observation,
)


def _noise(draw: Draw) -> dict:
    dtype = draw.choice([torch.float64, torch.float64, torch.float32])
    scale = draw.choice([1.0, 1e-20, 1e-6, 1e6, 1e20])
    return {"mean": (scale * draw.uniform(0.1, 2.0, 3)).to(dtype)}


def _entries(what: str, function, names: tuple[str, ...]):
    def oracle(given, answer):
        tolerance = 1e-9 if given["mean"].dtype == torch.float64 else 2e-4
        return entries_complaint(
            what, answer, function, *(given[name] for name in names), tolerance=tolerance
        )

    return oracle


def gaussian(draw: Draw) -> Call:
    mean = _noise(draw)["mean"]
    deviation = (mean.double().abs().amax() * draw.uniform(0.5, 2.0, 3)).to(mean.dtype)
    value = (mean.double() + deviation.double() * (1.5 + draw.uniform(0, 1, 3))).to(mean.dtype)

    def function(mean, standard_deviation, value):
        return observation.Gaussian(mean, standard_deviation).log_prob(value)

    names = ("value", "mean", "standard_deviation")
    oracle = _entries("log_prob", gaussian_log_density, names)
    return Call(function, {"mean": mean, "standard_deviation": deviation, "value": value}, oracle)


def heteroscedastic_gaussian(draw: Draw) -> Call:
    def function(mean, log_variance, value):
        return observation.HeteroscedasticGaussian(mean, log_variance).log_prob(value)

    def density(value, mean, log_variance):
        return gaussian_log_density(value, mean, mpmath.exp(log_variance / 2))

    oracle = _entries("log_prob", density, ("value", "mean", "log_variance"))
    arguments = {"mean": draw.normal(3), "log_variance": draw.normal(3), "value": draw.normal(3)}
    return Call(function, arguments, oracle)


def censored_gaussian(draw: Draw) -> Call:
    mean, limit = draw.normal(3), draw.normal(3) + draw.choice([0.0, 5.0, -30.0, 30.0])
    arguments = {"mean": mean, "standard_deviation": draw.uniform(0.1, 1.0, 3), "limit": limit}
    arguments["value"] = torch.maximum(mean + draw.normal(3), limit)

    def function(mean, standard_deviation, limit, value):
        return observation.CensoredGaussian(mean, standard_deviation, limit).log_prob(value)

    names = ("value", "mean", "standard_deviation", "limit")
    return Call(function, arguments, _entries("log_prob", censored_log_density, names))


def _counts(build, law, slope, names):
    """Log probability and its derivative by the mean."""

    def function(**given):
        value = given.pop("value")
        log_prob = build(**given).log_prob(value)
        with torch.inference_mode(False), torch.enable_grad():
            value, given = value.clone(), {name: tensor.clone() for name, tensor in given.items()}
            given["mean"] = given["mean"].detach().requires_grad_()
            slope = torch.autograd.grad(build(**given).log_prob(value).sum(), given["mean"])
        return log_prob.detach(), slope[0]

    def oracle(given, answer):
        arrays = [given[name] for name in names]
        values = _entries("log_prob", law, names)(given, answer[0])
        if answer[1].shape != answer[0].shape:
            return values
        single = given["mean"].dtype == torch.float32
        tolerance = {"tolerance": 1e-3 if single else 1e-8}
        return first_complaint(values, entries_complaint("slope", answer[1], slope, *arrays, **tolerance))

    return function, oracle


def poisson(draw: Draw) -> Call:
    arguments = _noise(draw)
    arguments["value"] = torch.tensor(draw.choice([[0, 0, 0], [0, 1, 7], [1, 1000, 3]])).to(arguments["mean"])
    names = ("value", "mean")
    function, oracle = _counts(observation.Poisson, poisson_log_probability, lambda k, m: k / m - 1, names)
    return Call(function, arguments, oracle)


def negative_binomial(draw: Draw) -> Call:
    arguments = _noise(draw)
    like = arguments["mean"]
    arguments["dispersion"] = (draw.choice([1.0, 1e-12, 0.0, 1e6]) * draw.uniform(0.1, 2.0, 3)).to(like)
    arguments["value"] = torch.tensor(draw.choice([[0, 0, 0], [0, 1, 7], [1, 1000, 3]])).to(like)
    names = ("value", "mean", "dispersion")

    def slope(k, mean, dispersion):
        with mpmath.workdps(400):  # what is left of two sides that nearly cancel
            return (k - mean) / mean / (1 + dispersion * mean)

    law = negative_binomial_log_probability
    function, oracle = _counts(observation.NegativeBinomial, law, slope, names)
    return Call(function, arguments, oracle)


def count_tails(draw: Draw) -> Call:
    def function(mean, dispersion, value, probability, level):
        poisson, binomial = observation.Poisson(mean), observation.NegativeBinomial(mean, dispersion)
        inside = poisson.interval(level).contains(value)
        return poisson.cdf(value), binomial.cdf(value), poisson.quantile(probability), inside

    def oracle(given, answer):
        mean, dispersion, value = (given[name].numpy() for name in ("mean", "dispersion", "value"))
        poisson = scipy.stats.poisson(mean)
        binomial = scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
        assert mean.max() < 1e4 and dispersion.min() > 1e-3 and mean.shape == dispersion.shape
        level, allowed = given["level"], np.asarray(1e-8)
        low, high = poisson.ppf((1 - level) / 2), poisson.ppf((1 + level) / 2)
        return first_complaint(
            differs("Poisson's cdf", answer[0], poisson.cdf(value), allowed),
            differs("negative binomial's cdf", answer[1], binomial.cdf(value), allowed),
            differs("quantile", answer[2], poisson.ppf(given["probability"])),
            differs("contains", answer[3], (low <= value) & (value <= high)),
        )

    arguments = {"mean": draw.uniform(0.5, 20, 3), "dispersion": draw.uniform(0.1, 1, 3)}
    arguments["value"] = torch.tensor([0.0, 3.0, 9.0]).double()
    return Call(function, {**arguments, "probability": draw.uniform(0.1, 0.9), "level": 0.9}, oracle)


def fit_censored_gaussian(draw: Draw) -> Call:
    arguments = {"detected": 1 + draw.uniform(0.0, 3.0, 12), "below": draw.whole(0, 4), "limit": 1.0}

    def function(**given):
        fitted = observation.fit_censored_gaussian(**given)
        return fitted.mean, fitted.standard_error

    def oracle(given, answer):
        """The profile likelihood of the mean is greatest at it, and falls by ½ a standard error away."""
        x, m, L = given["detected"].double().numpy(), given["below"], float(given["limit"])
        origin = np.median(x)
        largest = np.abs(x - origin).max()
        unit = max(np.std((x - origin) / largest) * largest, (origin - L) if m else 0.0)
        x, L, mean, error = (
            (x - origin) / unit,
            (L - origin) / unit,
            (answer[0] - origin) / unit,
            answer[1] / unit,
        )

        def profile(mean):
            def negative(log_sigma):
                law = scipy.stats.norm(mean, math.exp(log_sigma))
                return -law.logpdf(x).sum() - m * law.logcdf(L)

            return min(
                scipy.optimize.minimize_scalar(
                    negative, bounds=b, method="bounded", options={"xatol": 1e-9}
                ).fun
                for b in ((-25, 0), (-3, 6))
            )

        best, *beside = (profile(mean + shift * error) for shift in (0.0, 0.01, -0.01))
        curvature = (sum(beside) - 2 * best) / 0.01**2
        right = min(beside) > best and abs(curvature - 1) < 0.05 and abs(beside[0] - beside[1]) < 1e-5
        return None if right else f"likelihood {best:.9g} at the mean, {beside} beside it"

    return Call(function, arguments, oracle)


BUILDERS = {
    "Gaussian": gaussian,
    "HeteroscedasticGaussian": heteroscedastic_gaussian,
    "CensoredGaussian": censored_gaussian,
    "Poisson": poisson,
    "NegativeBinomial": negative_binomial,
    "Poisson NegativeBinomial cdf quantile interval": count_tails,
    "fit_censored_gaussian": fit_censored_gaussian,
}
