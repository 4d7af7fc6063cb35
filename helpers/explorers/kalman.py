"""Explorer of chapter 02: what a Kalman filter and its smoother assume decides what they believe."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from helpers.explorers.drawing import legend_of_figure, outline
from helpers.explorers.engine import Explorer, Slider
from helpers.figures import PALETTE, theme
from helpers.statespace import Filtered, LinearGaussian, Smoothed, kalman_filter, rts_smoother

DAYS = np.arange(90)
GAP_START = 30
"""The day on which the watch is put away."""
PRIOR_MEAN, PRIOR_DEVIATION = 60.0, 10.0
"""What is believed of the rate before its first reading, bpm."""
START = 62.0
"""The true rate on the eve of day 0, bpm."""
TRUE_PROCESS_NOISE, TRUE_OBSERVATION_NOISE = 1.0, 3.0
"""What the series was made with, bpm per square root of a day and bpm."""
RATE_RANGE = (44.0, 82.0)
BAND = 2.0
"""Half the width of a band, in standard deviations."""

CONTROLS = (
    Slider(
        "process_noise", "q", "bpm/√day", 0.0, 3.0, value=1.0, step=0.1,
        meaning="Standard deviation that the filter assumes of a day's change in the true rate; it is 1",
    ),
    Slider(
        "observation_noise", "r", "bpm", 0.5, 6.0, value=3.0, step=0.25,
        meaning="Standard deviation that the filter assumes of a reading's error; it is 3",
    ),
    Slider(
        "gap_length", "G", "days", 0.0, 40.0, value=14.0, step=1.0,
        meaning=f"How long the watch lies in a drawer, from day {GAP_START} on",
    ),
    Slider(
        "missing_share", "p", "% of days", 0.0, 80.0, value=20.0, step=5.0,
        meaning="How many of the other readings are lost by pure chance",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Estimate:
    """The state of each day, as a mean with a standard deviation.

    Attributes
    ----------
    mean, deviation : array (90,)
        Of the rate, bpm.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """Lower edge of the band of ± 2 standard deviations."""
        return self.mean - BAND * self.deviation

    @property
    def high(self) -> np.ndarray:
        """Upper edge of that band."""
        return self.mean + BAND * self.deviation

    def error(self, truth: np.ndarray) -> float:
        """Root-mean-square distance from the truth, bpm."""
        return math.sqrt(np.mean((self.mean - truth) ** 2))

    def coverage(self, truth: np.ndarray) -> float:
        """Fraction of the days on which the truth lies within the band."""
        return float(np.mean((self.low <= truth) & (truth <= self.high)))


@dataclass(frozen=True, eq=False)
class Tracking:
    """A wandering heart rate, its readings, and what filter and smoother make of them.

    Attributes
    ----------
    truth, readings : array (90,)
        The rate of each day and the watch's reading of it, read or not, bpm.
    observed : array (90,), bool
        True where the reading reached the filter.
    gap_length : float
        Days without any reading, from day 30 on.
    filtered, smoothed : Estimate
        Of each day's rate, given the readings up to that day, and given all of them.
    gain : array (90,)
        How much of an innovation enters the filtered mean; 0 where nothing was read.
    steady_state_gain : float
        What the gain tends to while every day is read.
    log_likelihood : float
        Of the readings that reached the filter, given what it assumes.
    """

    truth: np.ndarray
    readings: np.ndarray
    observed: np.ndarray
    gap_length: float
    filtered: Estimate
    smoothed: Estimate
    gain: np.ndarray
    steady_state_gain: float
    log_likelihood: float

    @property
    def variance_saved(self) -> float:
        """By what fraction the future lowers the variance of a day, on average over the days."""
        return 1 - float(np.mean((self.smoothed.deviation / self.filtered.deviation) ** 2))


@cache
def _series() -> tuple[Tensor, Tensor, Tensor]:
    """True rates, readings and a uniform number for each day: the same at every setting.

    The steps have a root mean square of exactly 1 bpm, the errors one of exactly 3 bpm, and the seed is one
    for which no other stop of the two sliders makes the complete series more likely than these.
    """
    generator = torch.Generator().manual_seed(49)
    draws = torch.randn(2, len(DAYS), generator=generator, dtype=torch.float64)
    steps, errors = draws / draws.square().mean(1, keepdim=True).sqrt()
    truth = START + TRUE_PROCESS_NOISE * steps.cumsum(0)
    chance = torch.rand(len(DAYS), generator=generator, dtype=torch.float64)
    return truth, truth + TRUE_OBSERVATION_NOISE * errors, chance


def observe(gap_length: float, missing_share: float) -> Tensor:
    """True on days outside the gap whose number is not below the share: more loss keeps what was lost."""
    days, chance = torch.from_numpy(DAYS), _series()[2]
    in_gap = (days >= GAP_START) & (days < GAP_START + gap_length)
    return ~in_gap & (chance >= missing_share / 100)


def local_level(process_noise: float, observation_noise: float) -> LinearGaussian:
    """A level that wanders and is read with noise.

    ::

        h_t = h_{t-1} + w_t        x_t = h_t + v_t

    Parameters
    ----------
    process_noise, observation_noise : float
        q and r, the standard deviations of w (bpm per square root of a day) and of v (bpm).
    """
    one = torch.ones(1, 1, dtype=torch.float64)
    return LinearGaussian(
        transition=one,
        observation=one,
        transition_covariance=process_noise**2 * one,
        observation_covariance=observation_noise**2 * one,
        initial_mean=PRIOR_MEAN * one[0],
        initial_covariance=PRIOR_DEVIATION**2 * one,
    )


def steady_state_gain(process_noise: float, observation_noise: float) -> float:
    """The gain of a local level that has been read for long, a function of q / r alone.

    The predicted variance P solves the Riccati equation P = P - P² / (P + r²) + q², so that ::

        K = P / (P + r²)        P = ½ (q² + q √(q² + 4 r²))
    """
    variance = (process_noise**2 + process_noise * math.hypot(process_noise, 2 * observation_noise)) / 2
    return variance / (variance + observation_noise**2)


def gain(filtered: Filtered) -> np.ndarray:
    """Gain (90,) of a scalar filter: predicted variance over innovation variance; 0 where nothing is read."""
    ratio = filtered.predicted_covariance / filtered.innovation_covariance
    return torch.where(filtered.mask, ratio.squeeze(-1), 0.0)[0, :, 0].numpy()


@torch.inference_mode()
def model(
    process_noise: float, observation_noise: float, gap_length: float, missing_share: float
) -> Tracking:
    """Filter and smooth one series under assumptions that may be wrong.

    The series stays the same; only what is assumed of it, and which of its readings are known, changes.

    Parameters
    ----------
    process_noise, observation_noise : float
        What the filter assumes; see `local_level`.
    gap_length : float
        Days without any reading, from day 30 on.
    missing_share : float
        Per cent of the days whose reading is lost by chance, on average.
    """
    truth, readings, _ = _series()
    observed = observe(gap_length, missing_share)
    assumed = local_level(process_noise, observation_noise)
    filtered = kalman_filter(assumed, readings.reshape(1, -1, 1), observed.reshape(1, -1, 1))
    return Tracking(
        truth=truth.numpy(),
        readings=readings.numpy(),
        observed=observed.numpy(),
        gap_length=gap_length,
        filtered=_estimate(filtered),
        smoothed=_estimate(rts_smoother(assumed, filtered)),
        gain=gain(filtered),
        steady_state_gain=steady_state_gain(process_noise, observation_noise),
        log_likelihood=float(filtered.log_likelihood),
    )


def _estimate(states: Filtered | Smoothed) -> Estimate:
    return Estimate(states.mean[0, :, 0].numpy(), states.covariance[0, :, 0, 0].sqrt().numpy())


class Picture:
    """Above, the truth, its readings and the two estimates of it; below, the filter's gain."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(6.6, 5.0))
            above, below = self.figure.subplots(2, sharex=True, height_ratios=(5, 2))
            self._gaps = [self._build_gap(axes) for axes in (above, below)]
            moving = *self._build_rates(above), *self._build_gain(below)
            legend_of_figure(self.figure, column_spacing=1.4)
        self.moving = *self._gaps, *moving

    def _build_gap(self, axes: Axes) -> Artist:
        across = axes.get_xaxis_transform()
        gap = Rectangle((GAP_START - 0.5, 0), 0, 1, color="#F0F0F0", linewidth=0, zorder=0, transform=across)
        return axes.add_patch(gap)

    def _build_rates(self, axes: Axes) -> tuple[Artist, ...]:
        blue, orange = PALETTE["blue"], PALETTE["orange"]
        (truth,) = axes.plot(DAYS, _series()[0], color=PALETTE["black"], linewidth=1.4, label="true rate")
        (self._readings,) = axes.plot([], [], "o", color=PALETTE["grey"], markersize=4, label="reading")
        (self._filtered,) = axes.plot([], [], "--", color=blue, label="filter")
        (self._edges,) = axes.plot([], [], ":", color=blue, linewidth=1.4, label="filter ± 2 s.d.")
        (self._smoothed,) = axes.plot([], [], "-", color=PALETTE["vermilion"], label="smoother")
        (self._band,) = axes.fill(
            [], [], color=orange, alpha=0.3, linewidth=0, linestyle="-", label="smoother ± 2 s.d."
        )
        axes.set(xlim=(-1, len(DAYS)), ylim=RATE_RANGE, ylabel="resting heart rate [bpm]")
        return truth, self._readings, self._filtered, self._edges, self._smoothed, self._band

    def _build_gain(self, axes: Axes) -> tuple[Artist, ...]:
        edges = np.append(DAYS, len(DAYS)) - 0.5
        self._gain = axes.stairs(0.0 * DAYS, edges, fill=True, color=PALETTE["sky"], label="gain Kₜ")
        self._steady = axes.axhline(
            0, color=PALETTE["black"], ls="-.", label="steady-state gain", clip_on=False
        )
        axes.set(ylim=(0, 1.05), yticks=(0, 0.5, 1), xlabel="day", ylabel="gain Kₜ")
        return self._gain, self._steady

    def draw(self, result: Tracking) -> None:
        """Move the readings, both estimates with their bands, the gain and the gap."""
        for gap in self._gaps:
            gap.set_width(result.gap_length)
        self._readings.set_data(DAYS[result.observed], result.readings[result.observed])
        self._filtered.set_data(DAYS, result.filtered.mean)
        self._smoothed.set_data(DAYS, result.smoothed.mean)
        self._edges.set_data(*_edges(result.filtered))
        self._band.set_xy(outline(DAYS, result.smoothed.low, result.smoothed.high))
        self._gain.set_data(result.gain)
        self._steady.set_ydata([result.steady_state_gain] * 2)

    def describe(self, result: Tracking) -> str:
        """The gain, the errors, and how much the future helps."""
        return (
            f"{result.observed.sum()} of {len(DAYS)} daily readings of a wandering heart rate are known. "
            f"Read every day, the filter's gain would settle at {result.steady_state_gain:.2f}; "
            f"its last gain is {result.gain[result.observed][-1]:.2f}. "
            f"Root-mean-square error {result.filtered.error(result.truth):.2f} bpm for the filter, "
            f"{result.smoothed.error(result.truth):.2f} bpm for the smoother, "
            f"whose variance is {result.variance_saved:.0%} lower on average. "
            f"The smoother's band holds the true rate on {result.smoothed.coverage(result.truth):.0%} "
            f"of the days. Log-likelihood {result.log_likelihood:.1f}."
        )


def _edges(estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Both edges of a band as one line that is broken between them."""
    return np.concatenate([DAYS, [np.nan], DAYS]), np.concatenate([estimate.low, [np.nan], estimate.high])


def explorer() -> Explorer:
    """Two noises and two ways of losing readings, above what a filter and a smoother then believe."""
    return Explorer(model, Picture, CONTROLS)
