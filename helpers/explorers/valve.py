"""Explorer of chapter 05: a forget gate as a time constant, a low-pass filter and a highway of gradients."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.explorers.drawing import SMALL_FONT, legend_above, plot_reference
from helpers.explorers.engine import Choice, Explorer, Slider
from helpers.figures import PALETTE, theme
from helpers.recurrent import cutoff_frequency, forget_bias_for, frequency_response, memory_time_constant

LSTM, LEAKY = "LSTM", "leaky: i = 1 − f"
VANILLA_SLOPE = 0.9
"""What a vanilla unit multiplies a gradient by at each step, w φ'."""
LONGEST_LAG = 400
LAGS = np.arange(LONGEST_LAG + 1)
TIMES = (0.1, 5000.0)
"""Hours after a pulse that the first picture shows."""
FREQUENCIES = (3e-5, 1.5)
AMPLITUDES = (5e-4, 1e3)
GRADIENTS = (1e-10, 30.0)

CONTROLS = (
    Slider(
        "forget_bias", "b_f", "", -3.0, 6.0, value=3.0, step=0.1,
        meaning="Opens the forget gate, f = σ(b_f), which stands still: 0 empties the memory, 1 keeps it",
    ),
    Slider(
        "input_gate", "i", "", 0.05, 1.0, value=0.5, step=0.05,
        meaning="What a candidate is multiplied by before the memory takes it up; an LSTM's only",
    ),
    Choice(
        "unit", (LSTM, LEAKY), LSTM,
        meaning="An LSTM's input gate is its own; a leaky unit and a GRU have one gate for both",
    ),
    Slider(
        "time_step", "Δt", "h", 0.5, 4.0, value=1.0, step=0.5,
        meaning="Time between two steps",
    ),
    Slider(
        "lag", "k", "steps", 5.0, float(LONGEST_LAG), value=50.0, step=5.0,
        meaning="How many steps lie between a cause and the loss that tells of it",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Valve:
    """A memory c_t = f c_{t-1} + i g_t whose gates stand still: what it keeps, lets through and passes back.

    Attributes
    ----------
    forget_bias, f, i : float
        b_f, and both gates.
    dt, time_constant : float
        Δt and τ, in hours.
    times, kept : array (K,)
        Hours k Δt after a pulse, and what is left of it, f^k.
    frequencies, amplitude : array (N,)
        ν, in cycles per hour, up to 1 / 2Δt; and |H(ν)|.
    cutoff, phase : float
        Where half of the power is lost, ∞ if nowhere; and the phase there, in degrees.
    lag : int
        k.
    highway, vanilla : array (401,)
        ∂c_T/∂c_{T-k}, and ∂h_T/∂h_{T-k} of a vanilla unit, for k = 0 … 400.
    bias_for_lag : float
        The b_f that leaves 1/e over the lag.
    """

    forget_bias: float
    f: float
    i: float
    dt: float
    time_constant: float
    times: np.ndarray
    kept: np.ndarray
    frequencies: np.ndarray
    amplitude: np.ndarray
    cutoff: float
    phase: float
    lag: int
    highway: np.ndarray
    vanilla: np.ndarray
    bias_for_lag: float

    @property
    def gain(self) -> float:
        """|H(0)|: what a candidate that does not change is multiplied by in the end."""
        return self.i / (1 - self.f)


def model(forget_bias: float, input_gate: float, unit: str, time_step: float, lag: float) -> Valve:
    """Follow one pulse, all oscillations and a gradient through a memory whose gates stand still.

    ::

        c_t = f c_{t-1} + i g_t        c_k = i f^k        H(ν) = i / (1 - f e^(-2πiν Δt))

    Parameters
    ----------
    forget_bias : float
        b_f; f = σ(b_f).
    input_gate : float
        i of an LSTM; a leaky unit has 1 - f in its place.
    unit : str
        One of the options of the control.
    time_step : float
        Δt, in hours.
    lag : float
        k, a whole number of steps.
    """
    f = torch.sigmoid(torch.tensor(forget_bias, dtype=torch.float64))
    i = 1 - f if unit == LEAKY else torch.tensor(input_gate, dtype=torch.float64)
    steps = np.arange(TIMES[1] // time_step + 1)
    frequencies = np.geomspace(FREQUENCIES[0], 1 / (2 * time_step), 200)
    amplitude = frequency_response(f, torch.from_numpy(frequencies), time_step, gain=i).abs()
    cutoff = cutoff_frequency(f, time_step)
    phase = frequency_response(f, cutoff, time_step).angle() if cutoff.isfinite() else torch.tensor(math.nan)
    return Valve(
        forget_bias=forget_bias,
        f=float(f),
        i=float(i),
        dt=time_step,
        time_constant=float(memory_time_constant(f, time_step)),
        times=time_step * steps,
        kept=float(f) ** steps,
        frequencies=frequencies,
        amplitude=amplitude.numpy(),
        cutoff=float(cutoff),
        phase=math.degrees(phase),
        lag=round(lag),
        highway=float(f) ** LAGS,
        vanilla=VANILLA_SLOPE**LAGS,
        bias_for_lag=float(forget_bias_for(lag)),
    )


class Picture:
    """Above, a pulse's trace and the response to oscillations; below, the gradient over the lag."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(7.4, 5.6))
            axes = self.figure.subplot_mosaic([["pulse", "response"], ["gradient", "gradient"]])
            self.moving = (
                *self._build_pulse(axes["pulse"]),
                *self._build_response(axes["response"]),
                *self._build_gradient(axes["gradient"]),
            )

    def _build_pulse(self, axes: Axes) -> tuple[Artist, ...]:
        axes.axhline(1 / math.e, linestyle=":", color=PALETTE["grey"], linewidth=1.2)
        (self._pulse,) = axes.step([], [], "-", where="post", color=PALETTE["blue"], label="i fᵏ")
        (self._decay,) = axes.plot([], [], "--", color=PALETTE["grey"], linewidth=1.4, label="i exp(−t/τ)")
        (self._constant,) = axes.plot([], [], "D", color=PALETTE["vermilion"], label="1/e, at t = τ")
        axes.set(xscale="log", xlim=TIMES, ylim=(-0.04, 1.08))
        axes.set_yticks([0, 1 / math.e, 1], ["0", "i/e", "i"])
        axes.set(xlabel="time after a pulse, t [h]", ylabel="memory c")
        legend_above(axes, columns=2, narrow=True)
        return self._decay, self._pulse, self._constant

    def _build_response(self, axes: Axes) -> tuple[Artist, ...]:
        plot_reference(axes, height=1)
        (self._response,) = axes.plot([], [], "-", color=PALETTE["blue"], label="|H(ν)|")
        (self._fastest,) = axes.plot([], [], "|", color=PALETTE["black"], ms=14, mew=1.8, label="1 / 2Δt")
        (self._cutoff,) = axes.plot([], [], "D", color=PALETTE["vermilion"], label="half the power (−3 dB)")
        axes.set(xscale="log", yscale="log", xlim=FREQUENCIES, ylim=AMPLITUDES)
        axes.set_yticks([1e-3, 1e-2, 0.1, 1, 10, 100, 1e3])
        axes.set(xlabel="frequency ν [1/h]", ylabel="amplitude, c / g")
        legend_above(axes, columns=2, narrow=True)
        return self._response, self._fastest, self._cutoff

    def _build_gradient(self, axes: Axes) -> tuple[Artist, ...]:
        (self._highway,) = axes.plot(LAGS, LAGS, "-", color=PALETTE["blue"], label="highway of c, fᵏ")
        (self._vanilla,) = axes.plot(
            LAGS, LAGS, "--", color=PALETTE["purple"], label=f"vanilla unit, {VANILLA_SLOPE}ᵏ"
        )
        (self._lag,) = axes.plot([], [], "-.", color=PALETTE["vermilion"], linewidth=1.2, label="lag k")
        (self._arrives,) = axes.plot([], [], "D", color=PALETTE["vermilion"], label="what arrives")
        axes.set(yscale="log", xlim=(-4, LONGEST_LAG + 4), ylim=GRADIENTS)
        axes.set_yticks([1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1], minor=False)
        axes.set_yticks([], minor=True)
        axes.set(xlabel="lag k [steps]", ylabel="gradient that arrives")
        legend_above(axes, columns=4, narrow=True)
        self._number = axes.text(0, 0, "", fontsize=SMALL_FONT, ha="left", va="bottom")
        return self._highway, self._vanilla, self._lag, self._arrives, self._number

    def draw(self, result: Valve) -> None:
        """Move the pulse's trace, the response, and the gradients, each with its mark."""
        shown = np.maximum(result.times, TIMES[0])
        self._pulse.set_data(shown, result.kept)
        moments = np.geomspace(*TIMES, 200)
        self._decay.set_data(moments, np.exp(-moments / result.time_constant))
        self._constant.set_data([result.time_constant], [1 / math.e])
        self._response.set_data(result.frequencies, result.amplitude)
        self._fastest.set_data(result.frequencies[-1:], result.amplitude[-1:])
        there = [result.cutoff] if math.isfinite(result.cutoff) else []
        self._cutoff.set_data(there, [result.gain / math.sqrt(2)] * len(there))
        self._highway.set_ydata(_within_range(result.highway))
        self._vanilla.set_ydata(_within_range(result.vanilla))
        self._draw_lag(result)

    def _draw_lag(self, result: Valve) -> None:
        """The lag's line, a mark on each curve, and the highway's number on the side that has room."""
        k, left = result.lag, result.lag > 0.8 * LONGEST_LAG
        arrives = _within_range(np.array([result.highway[k], result.vanilla[k]]))
        self._lag.set_data([k, k], GRADIENTS)
        self._arrives.set_data([k, k], arrives)
        self._number.set(x=k + (-6 if left else 6), y=1.5 * max(arrives[0], GRADIENTS[0]))
        self._number.set(ha="right" if left else "left", text=_written(result.highway[k]))

    def describe(self, result: Valve) -> str:
        """How long the memory lasts, what it lets through, and how much of a gradient arrives."""
        k, steps = result.lag, _digits(result.time_constant / result.dt)
        return (
            f"b_f = {result.forget_bias:.1f} holds the forget gate at f = {result.f:.4f}: of a pulse, 1/e is "
            f"left after τ = {_digits(result.time_constant)} h ({steps} steps). "
            f"With i = {result.i:.3g}, a candidate that does not change is multiplied by "
            f"i/(1 − f) = {result.gain:.3g}. {_loss(result)} "
            f"Over {k} steps, {_written(result.highway[k])} of a gradient arrives along the highway, and "
            f"{_written(result.vanilla[k])} through a vanilla unit of slope {VANILLA_SLOPE}; "
            f"for 1/e to arrive, b_f must be {result.bias_for_lag:.2f}."
        )


def _loss(result: Valve) -> str:
    """Where the response loses half of its power, if anywhere."""
    if not math.isfinite(result.cutoff):
        return "No oscillation loses half of its power, because f < 3 − 2√2 = 0.17."
    return (
        f"An oscillation once in {_digits(1 / result.cutoff)} h ({result.cutoff:.2g} per hour) loses half of "
        f"its power, and lags by {-result.phase:.0f}°."
    )


def _digits(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _written(share: float) -> str:
    """Two digits of a share; what is smaller than any float is said to be."""
    return f"{share:.2g}" if share > 0 else "less than 1e-300"


def _within_range(gradient: np.ndarray) -> np.ndarray:
    """A logarithmic axis has no place for 0: what leaves the picture stops just outside it."""
    return np.maximum(gradient, GRADIENTS[0] / 10)


def explorer() -> Explorer:
    """A memory's gates, step and lag, above its impulse response, frequency response and gradient."""
    return Explorer(model, Picture, CONTROLS)
