"""Exercise 7: four filters, told apart by their innovations."""

import torch
from torch import Tensor

from helpers.checks.attempt import as_number
from helpers.checks.chapter_02.exploring import settled_gain
from helpers.checks.naming import Figure, examine_names
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict

PROCESS_VARIANCE, READING_VARIANCE, DRIFT = 1.0, 4.0, 1.0  # (mg/dL)², (mg/dL)², mg/dL per reading
BELIEVED_RATIO = {"Q too large": 25.0, "Q too small": 0.01}  # Q over its true value
APPEARANCE = {
    "right": "its innovations look like noise of mean 0 and variance 1, without any memory",
    "Q too small": "an innovation resembles the ones before, since the filter lags behind; and the variance "
    "is above 1, since it does not know",
    "Q too large": "an innovation tends to have the opposite sign of the one before, since the filter jumps "
    "after the noise and must come back; and the variance is below 1, since it expects more than happens",
    "drift left out": "its innovations lie to one side of 0, and around their own mean have no memory",
}
FILTERS = Figure(
    "four filters",
    {"A": "Q too large", "B": "drift left out", "C": "Q too small", "D": "right"},
    APPEARANCE,
    phrases=True,
)
TOLERANCE = 0.15


def innovation_figure(names: object, widen: object) -> Verdict:
    """Exercise 7: what each of the `four_filters` believes, and how much wider C's intervals must be."""
    return examine_names("innovation_figure", FILTERS, names, widen, _widened)


def four_filters(seed: int = 233, readings: int = 400) -> dict[str, Tensor]:
    """Standardised innovations, (readings,), of four filters, each on its own series of a glucose sensor."""
    generator = torch.Generator().manual_seed(seed)
    return {label: _innovations(belief, generator, readings) for label, belief in FILTERS.names.items()}


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


def _widened(answer: object) -> Item:
    factor = as_number(answer)
    if factor is None:
        return no_number("widen", answer)
    variance = four_filters()["C"].var().item()
    if abs(factor - variance**0.5) <= TOLERANCE:
        return Item(
            True, f"widen: {factor:.2f}, the standard deviation of what should have standard deviation 1"
        )
    slips = (
        (variance, "that is the variance; the width of an interval goes with the standard deviation"),
        (variance**-0.5, "that makes the intervals narrower, and they miss too often already"),
        (1 / variance, "that makes the intervals narrower, and they miss too often already"),
        (1.0, "the innovations of C leave the band of ±2 far more often than one time in twenty"),
        (2 * variance**0.5, "that is where the band should end; it ends at 2 now"),
    )
    recipe = "an honest filter's standardised innovations have standard deviation 1; what have those of C?"
    return wrong_number("widen", factor, slips, recipe, within=TOLERANCE)
