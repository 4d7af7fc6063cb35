"""Exercise 7: four filters, told apart by their innovations."""

import torch
from torch import Tensor

from helpers.checks.chapter_02.e08_steady_gain import settled_gain
from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine

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
    return combine("innovation_figure", *FILTERS.judge(names), _widening().judge(widen))


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


def _widening() -> Number:
    """How much wider C's intervals must be: by the standard deviation of its standardised innovations."""
    deviation = four_filters()["C"].var().item() ** 0.5
    narrower = "that makes the intervals narrower, and they miss too often already"
    return Number(
        "widen",
        truth=deviation,
        within=TOLERANCE,
        right="{answer:.2f}, the standard deviation of what should have standard deviation 1",
        slips=(
            (deviation**2, "that is the variance; the width of an interval goes with the standard deviation"),
            (1 / deviation, narrower),
            (1 / deviation**2, narrower),
            (1.0, "the innovations of C leave the band of ±2 far more often than one time in twenty"),
            (2 * deviation, "that is where the band should end; it ends at 2 now"),
        ),
        recipe="an honest filter's standardised innovations have standard deviation 1; what have those of C?",
    )
