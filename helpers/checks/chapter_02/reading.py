"""Exercise 7: four filters, told apart by their innovations."""

from itertools import zip_longest

import torch
from torch import Tensor

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.chapter_02.exploring import settled_gain
from helpers.checks.verdict import Item, Verdict

PROCESS_VARIANCE, READING_VARIANCE, DRIFT = 1.0, 4.0, 1.0  # (mg/dL)², (mg/dL)², mg/dL per reading
FILTERS = {"A": "Q too large", "B": "drift left out", "C": "Q too small", "D": "right"}
BELIEVED_RATIO = {"Q too large": 25.0, "Q too small": 0.01}  # Q over its true value
APPEARANCE = {
    "right": "its innovations look like noise of mean 0 and variance 1, without any memory",
    "Q too small": "an innovation resembles the ones before, since the filter lags behind; and the variance "
    "is above 1, since it does not know",
    "Q too large": "an innovation tends to have the opposite sign of the one before, since the filter jumps "
    "after the noise and must come back; and the variance is below 1, since it expects more than happens",
    "drift left out": "its innovations lie to one side of 0, and around their own mean have no memory",
}
TOLERANCE = 0.15


def innovation_figure(names: object, widen: object) -> Verdict:
    """Exercise 7: what each of the `four_filters` believes, and how much wider C's intervals must be."""
    named = names if isinstance(names, tuple | list) else (names,)
    if all(is_blank(answer) for answer in (*named, widen)):
        return Verdict("innovation_figure")
    items = [_named_filter(*pair) for pair in zip_longest(FILTERS, named)]
    return Verdict("innovation_figure", (*items, _widened(widen)))


def four_filters(seed: int = 233, readings: int = 400) -> dict[str, Tensor]:
    """Standardised innovations, (readings,), of four filters, each on its own series of a glucose sensor."""
    generator = torch.Generator().manual_seed(seed)
    return {label: _innovations(belief, generator, readings) for label, belief in FILTERS.items()}


def _innovations(belief: str, generator: torch.Generator, readings: int) -> Tensor:
    """Innovations over their believed standard deviation, after 100 readings in which the filter settles."""
    steps, noise = torch.randn(2, readings + 100, generator=generator, dtype=torch.float64)
    drift = DRIFT if belief == "drift left out" else 0.0
    level = (PROCESS_VARIANCE**0.5 * steps + drift).cumsum(0)
    y = level + READING_VARIANCE**0.5 * noise
    K = settled_gain(BELIEVED_RATIO.get(belief, 1.0) * PROCESS_VARIANCE / READING_VARIANCE)
    mean, innovations = 0.0, []
    for reading in y.tolist():
        innovations.append(reading - mean)
        mean += K * innovations[-1]
    S = READING_VARIANCE / (1 - K)
    return torch.tensor(innovations[100:]) / S**0.5


def _named_filter(label: str | None, answer: object) -> Item:
    if label is None:
        return Item(False, f"{answer!r} is one name too many: there are four filters")
    truth = FILTERS[label]
    if is_blank(answer):
        return Item(False, f"{label}: not answered yet")
    names = {name.lower(): name for name in APPEARANCE}
    chosen = names.get(str(answer).strip().lower())
    if chosen is None:
        return Item(False, f"{label}: {answer!r} is none of " + ", ".join(f'"{name}"' for name in APPEARANCE))
    if chosen == truth:
        return Item(True, f"{label} is {_quoted(truth)}: {APPEARANCE[truth]}")
    return Item(False, f"{label} is not {_quoted(chosen)}. You would know it by this: {APPEARANCE[chosen]}")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _widened(answer: object) -> Item:
    factor = as_number(answer)
    if factor is None:
        return Item(False, "widen: not answered yet" if is_blank(answer) else "widen: give one number")
    variance = four_filters()["C"].var().item()
    wrong = (
        (variance, "that is the variance; the width of an interval goes with the standard deviation"),
        (variance**-0.5, "that makes the intervals narrower, and they miss too often already"),
        (1 / variance, "that makes the intervals narrower, and they miss too often already"),
        (1.0, "the innovations of C leave the band of ±2 far more often than one time in twenty"),
        (
            2 * variance**0.5,
            "that is where the band should end; it ends at 2 now",
        ),
    )
    if abs(factor - variance**0.5) <= TOLERANCE:
        return Item(
            True, f"widen: {factor:.2f}, the standard deviation of what should have standard deviation 1"
        )
    near = [reason for number, reason in wrong if abs(factor - number) <= TOLERANCE]
    recipe = "an honest filter's standardised innovations have standard deviation 1; what have those of C?"
    return Item(False, f"widen: {factor:g} is not it; " + (near[0] if near else recipe))
