"""Explorer of chapter 04: a random network between rest and chaos."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq
from torch import Tensor

from helpers.dynamics import Map, lyapunov_spectrum
from helpers.explorers.controls import Slider
from helpers.explorers.explorer import Explorer
from helpers.figures import PALETTE, theme
from helpers.recurrent import scan, spectral_radius_

UNITS, EXPONENTS = 64, 20
TRANSIENT, STEPS = 50, 200
SHOWN_UNITS, SHOWN_STEPS = 3, 60
EXPONENT_RANGE = (-2.25, 1.0)
APART = 2.4
"""Between the base lines of two units' traces."""
UNDECIDED = 0.005
"""What is closer to zero takes more steps than these to tell from zero."""
LATE = 10
"""The last steps shown, over which two runs are compared."""

CONTROLS = (
    Slider(
        "gain", "g", "1", 0.5, 2.5, value=1.8, step=0.05,
        meaning="What one random matrix of spectral radius 1 is multiplied by",
    ),
    Slider(
        "input_amplitude", "a", "1", 0.0, 2.0, value=0.0, step=0.05,
        meaning="Standard deviation of the input to each unit, new at every step, the same in both runs",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Activity:
    """Two runs of one network under one input, and how fast nearby states part.

    Parameters
    ----------
    gain : float
        g.
    states : array of shape (2, 61, 3)
        The first units' activity in runs from two starts.
    distances : array of shape (61,)
        Between the two runs, root mean square over all units.
    exponents : array of shape (20,)
        The largest Lyapunov exponents in descending order, per step.
    at_rest : array of shape (20,)
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
    r"""The driven network :math:`h' = \tanh(g W h + x)`, whose Jacobian is :math:`diag(1 - h'^2) g W`."""
    weight = gain * _draws()[0]

    def step(h, x):
        return torch.tanh(torch.addmm(x, h, weight.T))

    def derivative(h, x):
        return (1 - step(h, x) ** 2).unsqueeze(-1) * weight

    return Map(step, derivative)


def exponents_at_rest(gain: float, units: int, count: int) -> np.ndarray:
    r"""The Lyapunov exponents of a large random network that rests at zero.

    There they are the :math:`\ln |\lambda|` of the eigenvalues of g W, which for N(0, 1/N) entries fill a
    disc of radius g evenly. A fraction :math:`|\lambda|^2 / g^2` of them is smaller than λ, so that

    .. math:: \lambda_i = \ln g + \tfrac12 \ln\left(1 - \frac{i - 1/2}{N}\right), \qquad i = 1 \dots N

    Source: Girko (1985), Circular law, Theory of Probability and its Applications 29:694-706.
    """
    rank = np.arange(count) + 0.5
    return math.log(gain) + np.log1p(-rank / units) / 2


def mean_field_exponent(gain: float, input_amplitude: float) -> float:
    r"""The largest Lyapunov exponent of a driven random network with infinitely many units.

    What arrives at a unit is then Gaussian, with a variance q that reproduces itself:

    .. math:: q = g^2 \langle \tanh^2(\sqrt q z) \rangle + a^2, \qquad
              \lambda = \tfrac12 \ln\left( g^2 \langle (1 - \tanh^2(\sqrt q z))^2 \rangle \right), \quad
              z \sim N(0, 1)

    Without input and for g ≤ 1, q = 0 and :math:`\lambda = \ln g`.

    Parameters
    ----------
    gain, input_amplitude : float
        g and a, the standard deviation of white noise independent between units.

    Source: Molgedey, Schuchhardt and Schuster (1992), Suppressing chaos in neural networks by noise,
    Physical Review Letters 69:3717-3719.
    """
    nodes, weights = _gaussian_quadrature()

    def excess(variance: float) -> float:
        arriving = np.tanh(math.sqrt(variance) * nodes) ** 2
        return gain**2 * float(weights @ arriving) + input_amplitude**2 - variance

    least, most = 1e-9, gain**2 + input_amplitude**2
    variance = brentq(excess, least, most) if excess(least) > 0 else 0.0
    slopes = 1 - np.tanh(math.sqrt(variance) * nodes) ** 2
    return math.log(gain) + math.log(weights @ slopes**2) / 2


@cache
def _gaussian_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a mean over N(0, 1): the trapezoidal rule, here exact to rounding."""
    nodes = np.linspace(-8.0, 8.0, 201)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


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
        at_rest=exponents_at_rest(gain, UNITS, EXPONENTS),
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
            for axes, columns in ((course, 2), (spectrum, 1)):
                axes.legend(
                    loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=columns, fontsize=8.5, labelspacing=0.3
                )

    def _build_course(self, axes: Axes) -> tuple[Artist, ...]:
        bases = APART * np.arange(SHOWN_UNITS)[::-1]
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
        axes.axhline(0, color=PALETTE["black"], linewidth=0.8)
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
            f"Exponents above zero: {np.count_nonzero(result.exponents > UNDECIDED)}. "
            f"The two runs start {result.distances[0]:.2g} apart, "
            f"and are {result.distances[-LATE:].mean():.2g} apart over the last {LATE} steps shown."
        )


def _fate(exponent: float) -> str:
    """What an exponent means for two states that begin close to each other."""
    if abs(exponent) <= UNDECIDED:
        return "keep their distance"
    return "part" if exponent > 0 else "meet"


def explorer() -> Explorer:
    """A network's gain and its input, above its activity and its Lyapunov exponents."""
    return Explorer(model, Picture, CONTROLS)
