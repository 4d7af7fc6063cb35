"""Exercise 8: when a filter believes a new reading as much as its own prediction."""

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict

TOLERANCE = 0.01


def settled_gain(ratio: float) -> float:
    """The gain K at which the filter of a random walk settles; it solves K² / (1 - K) = Q / R."""
    return (-ratio + (ratio**2 + 4 * ratio) ** 0.5) / 2


def steady_gain(ratio: object, gain_with_gaps: object, prediction: object = None) -> Verdict:
    """Exercise 8: the ratio Q/R at which the gain settles at 1/2; the gain if every other reading is lost.

    In the steady state K = P⁻/(P⁻ + R) and P⁻ = K R + Q, so that Q/R = K²/(1 - K). When every other reading
    is lost, twice the noise enters between two readings.
    """
    if is_blank(ratio) and is_blank(gain_with_gaps):
        return Verdict("steady_gain")
    return Verdict("steady_gain", (_ratio_found(ratio, prediction), _gain_found(gain_with_gaps)))


def _ratio_found(answer: object, prediction: object) -> Item:
    ratio, predicted = as_number(answer), as_number(prediction)
    if ratio is None:
        return no_number("ratio", answer)
    if ratio < 0:
        return Item(False, f"ratio: {ratio:g} is negative, and variances are not")
    measured = f"ratio: at Q/R = {ratio:g} the gain settles at {settled_gain(ratio):.3f}"
    if abs(ratio - 0.5) <= TOLERANCE:
        return Item(True, measured + ("" if predicted is None else f"; you predicted {predicted:g}"))
    wrong = (
        (1.0, "; the prediction is uncertain by more than Q: what was not known before is still unknown"),
        (2.0, "; that is R/Q"),
        (0.5**0.5, "; that is the ratio of the standard deviations"),
    )
    near = [remark for number, remark in wrong if abs(ratio - number) <= TOLERANCE]
    return Item(False, measured + (near[0] if near else f": go {'lower' if ratio > 0.5 else 'higher'}"))


def _gain_found(answer: object) -> Item:
    K = as_number(answer)
    if K is None:
        return no_number("gain_with_gaps", answer)
    if abs(K - settled_gain(1.0)) <= TOLERANCE:
        return Item(True, f"gain_with_gaps: {K:.3f}; in two steps the variance 2 Q enters, which here is R")
    slips = (
        (0.5, "the gain does not stay the same: after a longer gap the prediction is worth less"),
        (1 - settled_gain(1.0), "that is 1 - K, the weight of the prediction"),
        (0.75, "that is the weight of two readings in a row at gain 1/2; here only one of them came"),
        (0.25, "a lost reading makes the next one count for more, not for less"),
    )
    recipe = "predict twice, then update once, until the gain no longer changes"
    return wrong_number("gain_with_gaps", K, slips, recipe, within=TOLERANCE)
