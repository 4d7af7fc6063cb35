"""Explorer of chapter 00: the concentration of a drug after one oral dose."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from helpers.explorers.engine import Explorer, Slider
from helpers.figures import LINE_STYLES, PALETTE, theme

HOURS = np.linspace(0.0, 24.0, 241)
VOLUME = 0.5
"""Volume of distribution of theophylline, L per kg of body weight."""

CONTROLS = (
    Slider(
        "absorption_rate", "kₐ", "1/h", 0.1, 3.0, value=1.5, step=0.05,
        meaning="The fraction of the drug in the gut that enters the blood per hour",
    ),
    Slider(
        "elimination_rate", "kₑ", "1/h", 0.02, 0.5, value=0.32, step=0.01,
        meaning="The fraction of the drug in the blood that is removed per hour",
    ),
    Slider(
        "dose", "D", "mg/kg", 1.0, 8.0, value=4.0, step=0.5,
        meaning="The amount swallowed, per kilogram of body weight; all of it is absorbed",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class DoseCurve:
    """Concentration over the day, its peak, and how long the drug takes to halve.

    Attributes
    ----------
    hours, concentration : array (241,)
        Time since the dose, h, and the concentration in the blood then, mg/L.
    peak_hour, peak_concentration : float
        When the concentration is highest, h, and how high it is, mg/L.
    half_life : float
        Of the tail, h.
    """

    hours: np.ndarray
    concentration: np.ndarray
    peak_hour: float
    peak_concentration: float
    half_life: float


def concentration(
    hours: np.ndarray, absorption_rate: float, elimination_rate: float, dose: float
) -> np.ndarray:
    """Concentration in the blood after one oral dose that is absorbed completely, as in `OneCompartment`.

    ::

        C(t) = D/V · kₐ / (kₐ - kₑ) · (exp(-kₑ t) - exp(-kₐ t))
             = D/V · kₐ t exp(-kₑ t) φ((kₐ - kₑ) t),   φ(x) = (1 - exp(-x)) / x

    the second of which stays exact where the rates meet. It is `OneCompartment.solution` without a gradient,
    for which that pays with forty times the time of a slider's step.

    Parameters
    ----------
    hours : array (...)
        t, time since the dose, h.
    absorption_rate, elimination_rate : float
        kₐ and kₑ, 1/h.
    dose : float
        D, mg per kg of body weight.

    Returns
    -------
    array (...)
        C, mg/L.
    """
    x = (absorption_rate - elimination_rate) * hours
    phi = np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=x != 0)
    return dose / VOLUME * absorption_rate * hours * np.exp(-elimination_rate * hours) * phi


def peak_hour(absorption_rate: float, elimination_rate: float) -> float:
    """When the concentration is highest, h: as much enters the blood as leaves it.

    ::

        t_max = ln(kₐ / kₑ) / (kₐ - kₑ)        1 / kₑ where the rates meet
    """
    excess = (absorption_rate - elimination_rate) / elimination_rate
    return float(np.log1p(excess) / excess if excess else 1.0) / elimination_rate


def model(absorption_rate: float, elimination_rate: float, dose: float) -> DoseCurve:
    """The dose curve over 24 hours; see `concentration` and `peak_hour`."""
    highest = peak_hour(absorption_rate, elimination_rate)
    return DoseCurve(
        hours=HOURS,
        concentration=concentration(HOURS, absorption_rate, elimination_rate, dose),
        peak_hour=highest,
        peak_concentration=float(concentration(np.array(highest), absorption_rate, elimination_rate, dose)),
        half_life=float(np.log(2) / elimination_rate),
    )


class Picture:
    """The curve and its peak."""

    def __init__(self):
        with theme():
            self.figure = Figure()
            axes = self.figure.subplots()
            axes.set(xlim=(0, 24), ylim=(0, 16), xticks=range(0, 25, 4))
            axes.set(xlabel="time since the dose [h]", ylabel="concentration [mg/L]")
            (self._curve,) = axes.plot([], [], color=PALETTE["blue"])
            (self._drop,) = axes.plot([], [], color=PALETTE["grey"], linestyle=LINE_STYLES[3])
            (self._peak,) = axes.plot([], [], "o", color=PALETTE["vermilion"], markersize=8)
        self.moving = self._curve, self._drop, self._peak

    def draw(self, result: DoseCurve) -> None:
        """Move the curve and the mark of its peak."""
        self._curve.set_data(result.hours, result.concentration)
        self._drop.set_data([result.peak_hour] * 2, [0, result.peak_concentration])
        self._peak.set_data([result.peak_hour], [result.peak_concentration])

    def describe(self, result: DoseCurve) -> str:
        """The curve in words."""
        return (
            f"Drug concentration over 24 hours after one oral dose: "
            f"it rises to a peak of {result.peak_concentration:.1f} mg/L at {result.peak_hour:.1f} h, "
            f"then falls with a half-life of {result.half_life:.1f} h, "
            f"to {result.concentration[-1]:.1f} mg/L at 24 h."
        )


def explorer() -> Explorer:
    """Sliders for absorption, elimination and dose, above the curve they shape."""
    return Explorer(model, Picture, CONTROLS)
