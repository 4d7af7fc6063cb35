"""Exercise 6: how much a detection limit biases the complete-case mean."""

import math
from statistics import NormalDist

import torch

from helpers.checks.attempt import as_number
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.observation import LOG_TWO_PI

LOG_LOAD = NormalDist(4.0, 1.2)  # log10 copies per mL
TOLERANCE = 0.03


def detection_limit(limit: object, lost: object, prediction: object = None) -> Verdict:
    """Exercise 6: the limit at which the complete-case mean is half a standard deviation too high.

    With a the limit in standard deviations from the mean and n the standard normal density, the values
    above the limit have mean μ + σ n(a) / (1 - Φ(a)), and the fraction Φ(a) is lost.
    """
    at = as_number(limit)
    return combine("detection_limit", LIMIT.judge(limit), _fraction_lost(at).judge(lost, prediction))


def _fraction_lost(limit: float | None) -> Number:
    """The fraction below a limit, which must be known."""
    truth = math.nan if limit is None else LOG_LOAD.cdf(limit)
    return Number(
        "lost",
        truth,
        within=TOLERANCE,
        right="{answer:.0%} of the values lie below your limit",
        wrong="",
        slips=(
            (1 - truth, "that is the fraction that is kept"),
            (
                lambda lost: abs(lost - 100 * truth) <= 100 * TOLERANCE,
                "give a fraction between 0 and 1, not per cent",
            ),
        ),
        recipe="{answer:g} is not the fraction below your limit: average `truth < limit`",
        impossible=((lambda lost: limit is None, "answer `limit` first"),),
        form=".0%",
    )


def _complete_case_bias(limit: float) -> float:
    """Bias of the mean above the limit, n(a) / (1 - Φ(a)), in standard deviations."""
    a = LOG_LOAD.zscore(limit)
    log_density = torch.tensor(-a * a / 2, dtype=torch.float64) - 0.5 * LOG_TWO_PI
    return (log_density - torch.special.log_ndtr(torch.tensor(-a, dtype=torch.float64))).exp().item()


_BIAS = "at {answer:.2f} the complete-case mean is {effect:.2f} standard deviations too high"
LIMIT = Number(
    "limit",
    truth=0.5,
    effect=_complete_case_bias,
    within=TOLERANCE,
    right=_BIAS,
    wrong=_BIAS,
    slips=(
        (
            lambda limit: abs(_complete_case_bias(limit) * LOG_LOAD.stdev - 0.5) <= TOLERANCE,
            f", which is 0.5 log units; one standard deviation is {LOG_LOAD.stdev} of those",
        ),
        (
            lambda limit: abs(limit - LOG_LOAD.mean) <= 0.05,
            ": half of the values are lost there, but the bias is more than half a standard deviation",
        ),
    ),
    recipe=(": go higher", ": go lower"),
)
