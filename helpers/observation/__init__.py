"""Noise models: how a measurement scatters around what a model predicts, written as likelihoods."""

from helpers.observation.censored import CensoredGaussian
from helpers.observation.counts import NegativeBinomial, Poisson
from helpers.observation.gaussian import Gaussian, HeteroscedasticGaussian
from helpers.observation.noise import LOG_TWO_PI, Interval

__all__ = [
    "LOG_TWO_PI",
    "CensoredGaussian",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Interval",
    "NegativeBinomial",
    "Poisson",
]
