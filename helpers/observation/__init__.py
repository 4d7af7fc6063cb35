"""Noise models: how a measurement scatters around what a model predicts, written as likelihoods."""

from helpers.observation.censored import CensoredGaussian
from helpers.observation.censored_fit import CensoredFit, fit_censored_gaussian
from helpers.observation.counts import NegativeBinomial, Poisson
from helpers.observation.gaussian import Gaussian, HeteroscedasticGaussian
from helpers.observation.intervals import Interval

__all__ = [
    "CensoredFit",
    "CensoredGaussian",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Interval",
    "NegativeBinomial",
    "Poisson",
    "fit_censored_gaussian",
]
