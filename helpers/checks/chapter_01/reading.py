"""Exercise 5: three noise models, told apart in a figure."""

import math
from itertools import zip_longest

import torch
from torch import Tensor

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.verdict import Item, Verdict

ASSAY_DISPERSION = 0.2  # of data set A
NOISE_MODELS = {"A": "negative binomial", "B": "constant", "C": "Poisson"}
APPEARANCE = {
    "negative binomial": "its variance follows the mean at first and then bends up to a slope of 2",
    "constant": "its variance is the same at every mean, a horizontal line",
    "Poisson": "its variance equals the mean, a straight line of slope 1",
}


def mean_variance_figure(noise: object, dispersion_read: object) -> Verdict:
    """Exercise 5: the noise models of assays A, B and C of `three_assays`, and the dispersion of one."""
    names = noise if isinstance(noise, tuple | list) else (noise,)
    if all(is_blank(answer) for answer in (*names, dispersion_read)):
        return Verdict("mean_variance_figure")
    named = [_named_assay(*pair) for pair in zip_longest(NOISE_MODELS, names)]
    return Verdict("mean_variance_figure", (*named, _dispersion_read(dispersion_read)))


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


def _named_assay(label: str | None, answer: object) -> Item:
    if label is None:
        return Item(False, f"{answer!r} is one name too many: there are three assays")
    truth = NOISE_MODELS[label]
    if is_blank(answer):
        return Item(False, f"{label}: not answered yet")
    names = {name.lower(): name for name in APPEARANCE}
    chosen = names.get(str(answer).strip().lower())
    if chosen is None:
        return Item(False, f"{label}: {answer!r} is none of " + ", ".join(f'"{name}"' for name in APPEARANCE))
    if chosen == truth:
        return Item(True, f"{label} is {truth}: {APPEARANCE[truth]}")
    return Item(False, f"{label} is not {chosen}. You would know {chosen} by this: {APPEARANCE[chosen]}")


def _dispersion_read(answer: object) -> Item:
    value = as_number(answer)
    if value is None:
        return Item(
            False, "dispersion: not answered yet" if is_blank(answer) else "dispersion: give one number"
        )
    wrong = (
        (1 / ASSAY_DISPERSION, "that is 1 / φ, the mean from which the second term is the larger one"),
        (2.0, "that is the slope of the line on logarithmic axes; φ sets its height"),
        (1.0, "with φ = 1 the variance at mean 100 would be 10 100; look again at what it is"),
        (20.0, "you divided by the mean once; the second term of the variance is φ times the mean squared"),
    )
    if abs(value - ASSAY_DISPERSION) <= 0.05:
        return Item(True, f"dispersion: {value:g} is within 0.05 of the true {ASSAY_DISPERSION}")
    near = [reason for number, reason in wrong if abs(value - number) <= 0.15 * number]
    recipe = "at a large mean, read the variance, subtract the mean, and divide by the mean squared"
    return Item(False, f"dispersion: {value:g} is not it; " + (near[0] if near else recipe))
