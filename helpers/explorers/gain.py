"""Explorer of chapter 04: a random network between rest and chaos."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from helpers.dynamics import Map, circular_law_exponents, lyapunov_spectrum, mean_field_exponent
from helpers.explorers.drawing import legend_above, plot_reference
from helpers.explorers.engine import Explorer, Slider
from helpers.figures import PALETTE, theme
from helpers.recurrent import scan, spectral_radius_

UNITS, EXPONENTS = 64, 20
TRANSIENT, STEPS = 50, 200
SHOWN_UNITS, SHOWN_STEPS = 3, 60
EXPONENT_RANGE = (-2.25, 1.0)
TRACE_SPACING = 2.4
"""Between the base lines of two units' traces."""
RESOLUTION = 0.005
"""An exponent that is closer to zero takes more steps than these to tell from zero."""
LATE_STEPS = 10
"""The last steps shown, over which two runs are compared."""

CONTROLS = (
    Slider(
        "gain", "g", "", 0.5, 2.5, value=1.8, step=0.05,
        meaning="What one random matrix of spectral radius 1 is multiplied by",
    ),
    Slider(
        "input_amplitude", "a", "", 0.0, 2.0, value=0.0, step=0.05,
        meaning="Standard deviation of the input to each unit, new at every step, the same in both runs",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Activity:
    """Two runs of one network under one input, and how fast nearby states part.

    Attributes
    ----------
    gain : float
        g.
    states : array (2, 61, 3)
        The first units' activity in runs from two starts.
    distances : array (61,)
        Between the two runs, root mean square over all units.
    exponents : array (20,)
        The largest Lyapunov exponents in descending order, per step.
    at_rest : array (20,)
        Those that the circular law gives a large network at rest.
    mean_field : float
        The largest one, for a large network under this input.
    """

    gain: float
    states: np.ndarray
    distances: np.ndarray
    exponents: np.ndarray
    at_rest: np.ndarray
    mean_field: float


@cache
def _draws() -> tuple[Tensor, Tensor, Tensor]:
    """A matrix of spectral radius 1, inputs (1, 250, 64) of standard deviation 1, and two starts.

    Many random numbers N(0, 1/N) have this spectral radius by themselves; the seed is one for which these few
    have, to 2 %, the mean square 1/N too.
    """
    generator = torch.Generator().manual_seed(18)
    matrix = spectral_radius_(torch.empty(UNITS, UNITS, dtype=torch.float64), 1.0, generator=generator)
    inputs = torch.randn(1, TRANSIENT + STEPS, UNITS, generator=generator, dtype=torch.float64)
    starts = 2 * torch.rand(2, UNITS, generator=generator, dtype=torch.float64) - 1
    return matrix, inputs, starts


def network(gain: float) -> Map:
    """The driven network h' = tanh(g W h + x), whose Jacobian is diag(1 - h'²) g W."""
    weight = gain * _draws()[0]

    def step(h, x):
        return torch.tanh(torch.addmm(x, h, weight.T))

    def derivative(h, x):
        return (1 - step(h, x) ** 2).unsqueeze(-1) * weight

    return Map(step, derivative)


@torch.inference_mode()
def model(gain: float, input_amplitude: float) -> Activity:
    """Run the network twice, and measure its Lyapunov exponents along one of the runs.

    Parameters
    ----------
    gain : float
        g, positive.
    input_amplitude : float
        a, the standard deviation of the input to each unit.
    """
    _, inputs, starts = _draws()
    x, system = input_amplitude * inputs, network(gain)
    shown = x[:, :SHOWN_STEPS].expand(2, -1, -1)
    after = scan(system.step, starts, shown)
    states = torch.cat([starts.unsqueeze(1), after], dim=1)  # (2, 61, 64)
    spectrum = lyapunov_spectrum(
        system, starts[:1], STEPS, transient=TRANSIENT, inputs=x, count=EXPONENTS, smooth_average=True
    )
    return Activity(
        gain=gain,
        states=states[..., :SHOWN_UNITS].numpy(),
        distances=(states[0] - states[1]).square().mean(-1).sqrt().numpy(),
        exponents=spectrum.exponents[0].numpy(),
        at_rest=circular_law_exponents(gain, UNITS, EXPONENTS).numpy(),
        mean_field=mean_field_exponent(gain, input_amplitude),
    )


class Picture:
    """Left, three units' activity in two runs; right, the largest Lyapunov exponents."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(7.4, 3.9))
            self.figure.get_layout_engine().set(wspace=0.06)
            course, spectrum = self.figure.subplots(1, 2)
            self.moving = *self._build_course(course), *self._build_spectrum(spectrum)
            legend_above(course, columns=2)
            legend_above(spectrum, columns=1)

    def _build_course(self, axes: Axes) -> tuple[Artist, ...]:
        bases = TRACE_SPACING * np.arange(SHOWN_UNITS)[::-1]
        self._runs = [
            [axes.plot([], [], style, color=PALETTE[colour], linewidth=1.5)[0] for _ in bases]
            for style, colour in (("-", "blue"), ("--", "vermilion"))
        ]
        for lines, label in zip(self._runs, ("from one start", "from another"), strict=True):
            lines[0].set_label(label)
        self._bases = bases
        axes.set_yticks(bases, [f"unit {unit + 1}" for unit in range(SHOWN_UNITS)])
        axes.set(xlim=(0, SHOWN_STEPS), ylim=(-1.2, bases[0] + 1.2))
        axes.set(xlabel="step t", ylabel="state h, from −1 to 1 for each unit")
        return *self._runs[0], *self._runs[1]

    def _build_spectrum(self, axes: Axes) -> tuple[Artist, ...]:
        plot_reference(axes)
        ranks = np.arange(EXPONENTS) + 1
        (self._exponents,) = axes.plot(
            ranks, 0 * ranks, "o", color=PALETTE["blue"], markersize=4.5, label="measured"
        )
        (self._at_rest,) = axes.plot(
            ranks, 0 * ranks, "--", color=PALETTE["grey"], label="at rest, by the circular law"
        )
        (self._mean_field,) = axes.plot(
            [0.4, 4], [0, 0], "-", color=PALETTE["vermilion"], label="the largest, by mean-field theory"
        )
        axes.set(xlim=(0.4, EXPONENTS + 0.6), ylim=EXPONENT_RANGE, xticks=(1, 5, 10, 15, 20))
        axes.set(xlabel="rank of the exponent", ylabel="Lyapunov exponent [1/step]")
        return self._at_rest, self._exponents, self._mean_field

    def draw(self, result: Activity) -> None:
        """Move both runs, the exponents and the two predictions."""
        steps = range(SHOWN_STEPS + 1)
        for lines, states in zip(self._runs, result.states, strict=True):
            for line, base, activity in zip(lines, self._bases, states.T, strict=True):
                line.set_data(steps, base + activity)
        self._exponents.set_ydata(result.exponents)
        self._at_rest.set_ydata(result.at_rest)
        self._mean_field.set_ydata([result.mean_field] * 2)

    def describe(self, result: Activity) -> str:
        """The largest exponent beside what theory says, and whether the two runs have met."""
        return (
            f"Largest Lyapunov exponent {result.exponents[0]:.3f} per step, from {STEPS} steps of {UNITS} "
            f"units: nearby states {_fate(result.exponents[0])}. "
            f"At rest it would be ln g = {math.log(result.gain):.3f}; "
            f"mean-field theory gives {result.mean_field:.3f} for this input and many units. "
            f"Exponents above zero: {np.count_nonzero(result.exponents > RESOLUTION)}. "
            f"The two runs start {result.distances[0]:.2g} apart, "
            f"and are {result.distances[-LATE_STEPS:].mean():.2g} apart "
            f"over the last {LATE_STEPS} steps shown."
        )


def _fate(exponent: float) -> str:
    """What an exponent means for two states that begin close to each other."""
    if abs(exponent) <= RESOLUTION:
        return "keep their distance"
    return "part" if exponent > 0 else "meet"


def explorer() -> Explorer:
    """A network's gain and its input, above its activity and its Lyapunov exponents."""
    return Explorer(model, Picture, CONTROLS)
