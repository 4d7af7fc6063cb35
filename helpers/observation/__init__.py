"""Noise models: how a measurement scatters around what a model predicts, written as likelihoods."""

from helpers.observation.censored import CensoredGaussian
from helpers.observation.censored_fit import CensoredFit, fit_censored_gaussian
from helpers.observation.counts import NegativeBinomial, Poisson
from helpers.observation.gaussian import Gaussian, HeteroscedasticGaussian
from helpers.observation.noise import LOG_TWO_PI, Interval

__all__ = [
    "LOG_TWO_PI",
    "CensoredFit",
    "CensoredGaussian",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Interval",
    "NegativeBinomial",
    "Poisson",
    "fit_censored_gaussian",
]
