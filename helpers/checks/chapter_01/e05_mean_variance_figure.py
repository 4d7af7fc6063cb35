"""Exercise 5: three noise models, told apart in a figure."""

import math

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine

ASSAY_DISPERSION = 0.2  # of data set A
APPEARANCE = {
    "negative binomial": "its variance follows the mean at first and then bends up to a slope of 2",
    "constant": "its variance is the same at every mean, a horizontal line",
    "Poisson": "its variance equals the mean, a straight line of slope 1",
}
ASSAYS = Figure("three assays", {"A": "negative binomial", "B": "constant", "C": "Poisson"}, APPEARANCE)
DISPERSION = Number(
    "dispersion",
    ASSAY_DISPERSION,
    within=0.05,
    relatively=0.15,
    right=f"{{answer:g}} is within 0.05 of the true {ASSAY_DISPERSION}",
    slips=(
        (1 / ASSAY_DISPERSION, "that is 1 / φ, the mean from which the second term is the larger one"),
        (2.0, "that is the slope of the line on logarithmic axes; φ sets its height"),
        (1.0, "with φ = 1 the variance at mean 100 would be 10 100; look again at what it is"),
        (20.0, "you divided by the mean once; the second term of the variance is φ times the mean squared"),
    ),
    recipe="at a large mean, read the variance, subtract the mean, and divide by the mean squared",
)


def mean_variance_figure(noise: object, dispersion_read: object) -> Verdict:
    """Exercise 5: the noise models of assays A, B and C of `three_assays`, and the dispersion of one."""
    return combine("mean_variance_figure", *ASSAYS.judge(noise), DISPERSION.judge(dispersion_read))


def three_assays(seed: int = 5) -> dict[str, Tensor]:
    """Three data sets, (2000 cells, 12 genes) each, of equal means from 1 to 300 and unlike noise."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.logspace(0, math.log10(300), 12).expand(2000, 12)
    gamma = torch.empty(5, 2000, 12).exponential_(generator=generator).mean(0)  # mean 1, variance 1 / 5
    return {
        "A": torch.poisson(means * gamma, generator=generator),
        "B": means + 3.0 * torch.randn(means.shape, generator=generator),
        "C": torch.poisson(means, generator=generator),
    }
