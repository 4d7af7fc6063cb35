"""Exercise 6: how much a detection limit biases the complete-case mean."""

import math

import torch

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.numbers import no_number
from helpers.checks.verdict import Item, Verdict

LOG_LOAD_MEAN, LOG_LOAD_DEVIATION = 4.0, 1.2  # log10 copies per mL
TOLERANCE = 0.03


def detection_limit(limit: object, lost: object, prediction: object = None) -> Verdict:
    """Exercise 6: the limit at which the complete-case mean is half a standard deviation too high.

    With a the limit in standard deviations from the mean and n the standard normal density, the values
    above the limit have mean μ + σ n(a) / (1 - Φ(a)), and the fraction Φ(a) is lost.
    """
    if is_blank(limit) and is_blank(lost):
        return Verdict("detection_limit")
    return Verdict("detection_limit", (_limit_found(limit), _fraction_lost(lost, limit, prediction)))


def _limit_found(answer: object) -> Item:
    limit = as_number(answer)
    if limit is None:
        return no_number("limit", answer)
    bias = _complete_case_bias(limit)
    remark = ""
    if abs(bias - 0.5) > TOLERANCE:
        remark = ": go lower" if bias > 0.5 else ": go higher"
    if abs(limit - LOG_LOAD_MEAN) <= 0.05:
        remark = ": half of the values are lost there, but the bias is more than half a standard deviation"
    if abs(bias * LOG_LOAD_DEVIATION - 0.5) <= TOLERANCE:
        remark = f", which is 0.5 log units; one standard deviation is {LOG_LOAD_DEVIATION} of those"
    measured = f"limit: at {limit:.2f} the complete-case mean is {bias:.2f} standard deviations too high"
    return Item(not remark, measured + remark)


def _fraction_lost(answer: object, limit: object, prediction: object) -> Item:
    lost, at, predicted = as_number(answer), as_number(limit), as_number(prediction)
    if lost is None:
        return no_number("lost", answer)
    if at is None:
        return Item(False, "lost: answer `limit` first")
    truth = _normal_cdf((at - LOG_LOAD_MEAN) / LOG_LOAD_DEVIATION)
    if abs(lost - truth) <= TOLERANCE:
        comparison = "" if predicted is None else f"; you predicted {predicted:.0%}"
        return Item(True, f"lost: {lost:.0%} of the values lie below your limit{comparison}")
    if abs(lost - (1 - truth)) <= TOLERANCE:
        return Item(False, "lost: that is the fraction that is kept")
    if abs(lost - 100 * truth) <= 100 * TOLERANCE:
        return Item(False, "lost: give a fraction between 0 and 1, not per cent")
    return Item(False, f"lost: {lost:g} is not the fraction below your limit: average `truth < limit`")


def _complete_case_bias(limit: float) -> float:
    """Bias of the mean above the limit, n(a) / (1 - Φ(a)), in standard deviations."""
    a = (limit - LOG_LOAD_MEAN) / LOG_LOAD_DEVIATION
    log_density = torch.tensor(-a * a / 2, dtype=torch.float64) - 0.5 * math.log(2 * math.pi)
    return (log_density - torch.special.log_ndtr(torch.tensor(-a, dtype=torch.float64))).exp().item()


def _normal_cdf(a: float) -> float:
    return 0.5 * math.erfc(-a / math.sqrt(2))
