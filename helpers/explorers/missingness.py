"""Explorer of chapter 01: how the way values go missing decides which estimate to believe."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from helpers.data import DetectionLimit, Incomplete, Logistic, mar, mcar, mnar
from helpers.explorers.drawing import legend_of_figure
from helpers.explorers.engine import Choice, Explorer, Slider
from helpers.figures import MARKERS, PALETTE, theme
from helpers.observation import fit_censored_gaussian

PATIENTS = 2000
MEDIAN = 4.0
"""Median concentration of the biomarker, mg/L; its logarithm is normal with standard deviation 1."""
CORRELATION = 0.7
"""Between the log concentration and the severity of the illness, which is always recorded."""
STEEPNESS = 4.0
"""Slope of the logistic mechanisms, per unit of log concentration or of severity."""
TRUE_MEAN = math.log(MEDIAN)
BINS = np.linspace(TRUE_MEAN - 4, TRUE_MEAN + 4, 41)
TICKS = (0.1, 0.3, 1, 3, 10, 30, 100)
BIAS_RANGE = (-0.9, 2.0)
ANALYSES = ("complete cases", "mean imputed", "adjusted for severity", "censored likelihood")
COLOURS = ("vermilion", "purple", "orange", "blue")
Z_95 = 1.959964

AT_RANDOM = "MCAR: pure chance"
BY_SEVERITY = "MAR: mild cases are measured less often"
BY_VALUE = "MNAR: low values fade out"
BY_LIMIT = "MNAR: detection limit"

CONTROLS = (
    Choice(
        "mechanism", (AT_RANDOM, BY_SEVERITY, BY_VALUE, BY_LIMIT), BY_LIMIT,
        meaning="What decides whether a measurement is missing",
    ),
    Slider(
        "limit", "L", "mg/L", 0.5, 10.0, value=3.0, step=0.25,
        meaning="Detection limit; the other mechanisms hide about as many values as this limit would",
    ),
    Slider(
        "noise", "σ", "log units", 0.0, 1.0, value=0.2, step=0.05,
        meaning="Standard deviation of the measurement error of the log concentration",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A mean of log concentrations minus the true one, and the ends of its 95 % confidence interval.

    Attributes
    ----------
    bias, low, high : float
        Log units.
    """

    bias: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was true, what was observed, and what each analysis makes of it; all in log mg/L.

    Attributes
    ----------
    truth : array (2000,)
        Log concentrations without measurement error.
    observed : array (n,)
        Those that were measured, with their error.
    log_limit : float
        The detection limit, where a line marks it; NaN under a mechanism that has none.
    true_spread : float
        Standard deviation of all measurements, had none been lost.
    imputed_spread : float
        Standard deviation after each missing value is replaced by the mean of the observed ones.
    estimates : dict of Estimate
        Of the mean, by name of the analysis.
    """

    truth: np.ndarray
    observed: np.ndarray
    log_limit: float
    true_spread: float
    imputed_spread: float
    estimates: dict[str, Estimate]

    @property
    def missing(self) -> float:
        """Fraction of the patients without a measurement."""
        return 1 - len(self.observed) / len(self.truth)


@cache
def _base_draws() -> tuple[Tensor, Tensor, Tensor]:
    """Log concentration, severity and standardised error of each patient: the same at every setting.

    Each has exactly the mean and the standard deviation that its distribution promises, so that a bias of
    zero means no bias among these patients.
    """
    generator = torch.Generator().manual_seed(2012)
    draws = torch.randn(3, PATIENTS, generator=generator, dtype=torch.float64)
    value, other, error = (draws - draws.mean(1, keepdim=True)) / draws.std(1, keepdim=True)
    severity = CORRELATION * value + math.sqrt(1 - CORRELATION**2) * other
    return TRUE_MEAN + value, severity, error


def _observe(mechanism: str, measured: Tensor, severity: Tensor, log_limit: float) -> Tensor:
    """True where the measurement is observed."""
    centred_limit = (log_limit - TRUE_MEAN) / measured.std()
    generator = torch.Generator().manual_seed(1)
    observe: dict[str, Callable[[], Incomplete]] = {
        AT_RANDOM: lambda: mcar(measured, float(torch.special.ndtr(centred_limit)), generator=generator),
        BY_SEVERITY: lambda: mar(measured, severity, Logistic(centred_limit, STEEPNESS), generator=generator),
        BY_VALUE: lambda: mnar(measured, Logistic(log_limit, STEEPNESS), generator=generator),
        BY_LIMIT: lambda: mnar(measured, DetectionLimit(log_limit), generator=generator),
    }
    return observe[mechanism]().mask


def complete_cases(observed: Tensor) -> tuple[float, float]:
    """The mean of what was observed, and its standard error."""
    return float(observed.mean()), float(observed.std()) / math.sqrt(len(observed))


def impute_mean(observed: Tensor, patients: int) -> tuple[float, float, float]:
    """Mean, claimed standard error, and standard deviation once each gap is filled with the observed mean.

    The mean stays; the spread shrinks, and the error that it claims with it.
    """
    spread = float(observed.std()) * math.sqrt((len(observed) - 1) / (patients - 1))
    return float(observed.mean()), spread / math.sqrt(patients), spread


def adjust_for_severity(observed: Tensor, severity: Tensor, mask: Tensor) -> tuple[float, float]:
    """The mean that a regression on severity predicts for all patients, and its standard error.

    The regression is fitted to the observed; under MAR it holds for the others too.
    """
    known = severity[mask]
    centred = known - known.mean()
    slope = centred @ observed / (centred @ centred)
    shift = severity.mean() - known.mean()
    residual = observed - observed.mean() - slope * centred
    noise = residual @ residual / (len(observed) - 2)
    variance = noise * (1 / len(observed) + shift**2 / (centred @ centred))
    variance = variance + slope**2 * severity.var() / len(severity)
    return float(observed.mean() + slope * shift), float(variance.sqrt())


def model(mechanism: str, limit: float, noise: float) -> Outcome:
    """Measure 2000 patients, lose some of the measurements, and estimate the mean in four ways.

    Parameters
    ----------
    mechanism : str
        One of the options of the control.
    limit : float
        Detection limit, mg/L.
    noise : float
        Standard deviation of the measurement error, log units.
    """
    truth, severity, error = _base_draws()
    measured = truth + noise * error
    log_limit = math.log(limit)
    mask = _observe(mechanism, measured, severity, log_limit)
    observed = measured[mask]
    imputed_mean, imputed_error, imputed_spread = impute_mean(observed, PATIENTS)
    censored = fit_censored_gaussian(observed, PATIENTS - len(observed), log_limit)
    found = (
        complete_cases(observed),
        (imputed_mean, imputed_error),
        adjust_for_severity(observed, severity, mask),
        (censored.mean, censored.standard_error),
    )
    return Outcome(
        truth=truth.numpy(),
        observed=observed.numpy(),
        log_limit=log_limit if mechanism == BY_LIMIT else math.nan,
        true_spread=float(measured.std()),
        imputed_spread=imputed_spread,
        estimates={name: _estimate(*pair) for name, pair in zip(ANALYSES, found, strict=True)},
    )


def _estimate(mean: float, standard_error: float) -> Estimate:
    bias = mean - TRUE_MEAN
    return Estimate(bias, bias - Z_95 * standard_error, bias + Z_95 * standard_error)


class Picture:
    """Above, all patients and the observed ones; below, how far each estimate lies from the truth."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(6.2, 4.4))
            above, below = self.figure.subplots(2, height_ratios=(3, 2))
            moving_above = self._build_histograms(above)
            moving_below = self._build_estimates(below)
        self.moving = *moving_above, *moving_below

    def _build_histograms(self, axes: Axes) -> tuple[Artist, ...]:
        counts, _ = np.histogram(_base_draws()[0].numpy(), BINS)
        self._observed = axes.stairs(0 * counts, BINS, fill=True, color=PALETTE["sky"], label="observed")
        truth = axes.stairs(counts, BINS, color=PALETTE["grey"], linewidth=1.6, label="all, without error")
        true_mean = axes.axvline(TRUE_MEAN, color=PALETTE["black"], label="true mean")
        self._mean = axes.axvline(0, color=PALETTE["vermilion"], linestyle="--", label="mean of observed")
        self._limit = axes.axvline(0, color=PALETTE["grey"], linestyle=":", linewidth=2.4, label="limit L")
        self._spreads = [
            axes.plot([], [], marker="|", markersize=10, color=PALETTE[colour], ls=style, label=label)[0]
            for colour, style, label in (
                ("green", "-", "± s.d., all"),
                ("purple", "-.", "± s.d., imputed"),
            )
        ]
        axes.set_xticks(np.log(TICKS), [f"{tick:g}" for tick in TICKS])
        axes.set(xlim=(BINS[0], BINS[-1]), ylim=(0, 1.25 * counts.max()))
        axes.set(xlabel="concentration [mg/L], logarithmic", ylabel="patients")
        legend_of_figure(self.figure, column_spacing=1.2)
        self._spread_heights = 1.1 * counts.max(), 1.18 * counts.max()
        return self._observed, truth, true_mean, self._mean, self._limit, *self._spreads

    def _build_estimates(self, axes: Axes) -> tuple[Artist, ...]:
        axes.axvline(0, color=PALETTE["black"])
        self._intervals = [
            axes.plot([], [], color=PALETTE[colour], linestyle="-", marker="|", markersize=11)[0]
            for colour in COLOURS
        ]
        self._estimates = [
            axes.plot([], [], linestyle="", marker=marker, markersize=6, color=PALETTE[colour])[0]
            for colour, marker in zip(COLOURS, MARKERS, strict=False)
        ]
        axes.set_yticks(range(len(ANALYSES)), ANALYSES)
        axes.set(xlim=BIAS_RANGE, ylim=(len(ANALYSES) - 0.5, -0.5))
        axes.set(xlabel="bias of the mean with its 95 % interval [log units]")
        return *self._intervals, *self._estimates

    def draw(self, result: Outcome) -> None:
        """Refill the histogram, and move the lines and the estimates."""
        self._observed.set_data(np.histogram(result.observed, BINS)[0])
        observed_mean = float(result.observed.mean())
        self._mean.set_xdata([observed_mean] * 2)
        self._limit.set_xdata([result.log_limit] * 2)
        centres_and_spreads = (TRUE_MEAN, result.true_spread), (observed_mean, result.imputed_spread)
        for bar, (centre, spread), height in zip(
            self._spreads, centres_and_spreads, self._spread_heights, strict=True
        ):
            bar.set_data([centre - spread, centre + spread], [height, height])
        for row, name in enumerate(ANALYSES):
            estimate = result.estimates[name]
            self._intervals[row].set_data([estimate.low, estimate.high], [row, row])
            self._estimates[row].set_data([estimate.bias], [row])

    def describe(self, result: Outcome) -> str:
        """The missing share, and each estimate's bias with its interval."""
        biases = "; ".join(
            f"{name} {estimate.bias:+.2f} ({estimate.low:+.2f} to {estimate.high:+.2f})"
            for name, estimate in result.estimates.items()
        )
        return (
            f"{result.missing:.0%} of {PATIENTS} measurements are missing. "
            f"Bias of the mean log concentration with its 95 % confidence interval: {biases}. "
            f"Standard deviation {result.true_spread:.2f} of all measurements, "
            f"{result.imputed_spread:.2f} after mean imputation."
        )


def explorer() -> Explorer:
    """A mechanism, a limit and a noise, above what they do to four estimates of the mean."""
    return Explorer(model, Picture, CONTROLS)
