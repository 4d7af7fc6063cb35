"""Exercise 8: when a filter believes a new reading as much as its own prediction."""

from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine

TOLERANCE = 0.01


def steady_gain(ratio: object, gain_with_gaps: object, prediction: object = None) -> Verdict:
    """Exercise 8: the ratio Q/R at which the gain settles at 1/2; the gain if every other reading is lost.

    In the steady state K = P⁻/(P⁻ + R) and P⁻ = K R + Q, so that Q/R = K²/(1 - K). When every other reading
    is lost, twice the noise enters between two readings.
    """
    return combine("steady_gain", RATIO.judge(ratio, prediction), GAIN_WITH_GAPS.judge(gain_with_gaps))


def settled_gain(ratio: float) -> float:
    """The gain K at which the filter of a random walk settles; it solves K² / (1 - K) = Q / R."""
    return (-ratio + (ratio**2 + 4 * ratio) ** 0.5) / 2


def _settles(ratio: float) -> str:
    return f"at Q/R = {ratio:g} the gain settles at {settled_gain(ratio):.3f}"


RATIO = Number(
    "ratio",
    truth=0.5,
    within=TOLERANCE,
    right=_settles,
    wrong=_settles,
    slips=(
        (1.0, "; the prediction is uncertain by more than Q: what was not known before is still unknown"),
        (2.0, "; that is R/Q"),
        (0.5**0.5, "; that is the ratio of the standard deviations"),
    ),
    recipe=(": go higher", ": go lower"),
    impossible=((lambda ratio: ratio < 0, "{answer:g} is negative, and variances are not"),),
)
GAIN_WITH_GAPS = Number(
    "gain_with_gaps",
    truth=settled_gain(1.0),
    within=TOLERANCE,
    right="{answer:.3f}; in two steps the variance 2 Q enters, which here is R",
    slips=(
        (0.5, "the gain does not stay the same: after a longer gap the prediction is worth less"),
        (1 - settled_gain(1.0), "that is 1 - K, the weight of the prediction"),
        (0.75, "that is the weight of two readings in a row at gain 1/2; here only one of them came"),
        (0.25, "a lost reading makes the next one count for more, not for less"),
    ),
    recipe="predict twice, then update once, until the gain no longer changes",
)
