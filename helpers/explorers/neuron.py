"""Explorer of chapter 04: one neuron, where it rests, and when it can remember."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.dynamics import UNSTABLE, FixedPoints, Map, fixed_points
from helpers.explorers.drawing import (
    legend_above,
    name_region,
    plot_fixed_points,
    plot_reference,
    plot_settings,
    points_of_kind,
)
from helpers.explorers.engine import Explorer, Slider
from helpers.figures import PALETTE, theme

STEPS = 60
GRID = np.linspace(-1.0, 1.0, 201)
STARTS = torch.linspace(-1, 1, 9, dtype=torch.float64).unsqueeze(1)
"""Where the search for fixed points begins."""
NEWTON_STEPS = 24
"""Enough to find every fixed point at every stop; what still moves then is near none of them."""
WEIGHTS, BIASES = (-2.0, 3.0), (-2.0, 2.0)

CONTROLS = (
    Slider(
        "weight", "w", "", *WEIGHTS, value=2.0, step=0.05,
        meaning="How strongly the neuron's state drives itself: h' = tanh(w h + b)",
    ),
    Slider(
        "bias", "b", "", *BIASES, value=0.2, step=0.05,
        meaning="A constant input",
    ),
    Slider(
        "start", "h₀", "", -1.0, 1.0, value=-0.3, step=0.05,
        meaning="The state at the beginning",
    ),
    Slider(
        "noise", "σ", "", 0.0, 1.0, value=0.0, step=0.05,
        meaning="Standard deviation of a random input, new at every step, that adds to b",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Motion:
    """The map of one neuron, its fixed points, and one run of it.

    Attributes
    ----------
    weight, bias : float
        w and b.
    after : array (201,)
        h' = tanh(w h + b) where h is one of `GRID`.
    fixed : array (N,)
        The fixed points in ascending order; N is 1 or 3.
    stability : tuple of N str
        `stable`, `unstable` or `marginal`.
    states : array (61,)
        h_0 … h_60 of a run, noise included.
    """

    weight: float
    bias: float
    after: np.ndarray
    fixed: np.ndarray
    stability: tuple[str, ...]
    states: np.ndarray

    @property
    def cobweb(self) -> np.ndarray:
        """The corners (h_0, h_0), (h_0, h_1), (h_1, h_1), … (121, 2) of the stairs from map to diagonal."""
        twice = np.repeat(self.states, 2)
        return np.column_stack([twice[:-1], twice[1:]])

    @property
    def crossings(self) -> int:
        """How often the run changes its sign."""
        return int(np.count_nonzero(np.diff(np.signbit(self.states))))


def critical_bias(weight: float | np.ndarray, slope: float) -> float | np.ndarray:
    """The size of the bias at which a fixed point has a given slope.

    The map's slope is w (1 - h'²), so that at a fixed point of slope s ::

        h = √(1 - s/w)        b = ± (artanh h - w h)

    At slope 1 two fixed points meet and vanish: the folds, for w ≥ 1, whose cusp is the pitchfork at w = 1.
    At slope -1 a fixed point gives way to a cycle of two: the period doubling, for w ≤ -1.

    Parameters
    ----------
    weight : float or array (...)
        w; at least 1 for slope 1, at most -1 for slope -1.
    slope : float
        s, 1 or -1.
    """
    h = np.sqrt(1 - slope / weight)
    return np.abs(np.arctanh(h) - weight * h)


def find_rest_states(weight: float, bias: float) -> FixedPoints:
    """The fixed points of the neuron without noise."""

    def step(h):
        return torch.tanh(weight * h + bias)

    def derivative(h):
        return (weight * (1 - step(h) ** 2)).unsqueeze(-1)

    return fixed_points(Map(step, derivative), STARTS, max_steps=NEWTON_STEPS)


@cache
def _shocks() -> np.ndarray:
    """Standard normal numbers, the same at every setting."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(STEPS, generator=generator, dtype=torch.float64).numpy()


def simulate(weight: float, bias: float, start: float, noise: float) -> np.ndarray:
    """The states (61,) of h_t = tanh(w h_{t-1} + b + σ z_t)."""
    states = [start]
    for shock in _shocks():
        states.append(np.tanh(weight * states[-1] + bias + noise * shock))
    return np.array(states)


def model(weight: float, bias: float, start: float, noise: float) -> Motion:
    """Find where the neuron rests, and run it from one start; see `find_rest_states` and `simulate`."""
    found = find_rest_states(weight, bias)
    return Motion(
        weight=weight,
        bias=bias,
        after=np.tanh(weight * GRID + bias),
        fixed=found.states[:, 0].numpy(),
        stability=found.stability,
        states=simulate(weight, bias, start, noise),
    )


class Picture:
    """Left, the cobweb; right, where (w, b) lies among the bifurcations, and the run in time."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(7.4, 4.6))
            axes = self.figure.subplot_mosaic(
                [["cobweb", "plane"], ["cobweb", "course"]], width_ratios=(11, 9), height_ratios=(3, 2)
            )
            self.moving = (
                *self._build_cobweb(axes["cobweb"]),
                *self._build_plane(axes["plane"]),
                *self._build_course(axes["course"]),
            )

    def _build_cobweb(self, axes: Axes) -> tuple[Artist, ...]:
        axes.plot([-1, 1], [-1, 1], "--", color=PALETTE["grey"], linewidth=1.2, label="h' = h")
        (self._map,) = axes.plot([], [], "-", color=PALETTE["blue"], linewidth=2.2, label="tanh(w h + b)")
        (self._cobweb,) = axes.plot([], [], "-", color=PALETTE["orange"], linewidth=1.2, label="run")
        (self._start,) = axes.plot([], [], "^", color=PALETTE["orange"], markersize=8, label="start h₀")
        self._fixed = plot_fixed_points(axes, UNSTABLE)
        axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), aspect="equal")
        axes.set(xticks=(-1, -0.5, 0, 0.5, 1), yticks=(-1, -0.5, 0, 0.5, 1))
        axes.set(xlabel="state h", ylabel="next state h'")
        legend_above(axes, columns=3, narrow=True)
        return self._map, self._cobweb, self._start, *self._fixed.values()

    def _build_plane(self, axes: Axes) -> tuple[Artist, ...]:
        _draw_bifurcations(axes)
        name_region(axes, 2.6, -0.35, "three")
        name_region(axes, -1.57, 0, "cycle\nof two")
        name_region(axes, 0.4, 1.5, "1 fixed point")
        self._here = plot_settings(axes, "(w, b)")
        axes.set(xlim=WEIGHTS, ylim=BIASES, xticks=range(-2, 4), yticks=range(-2, 3))
        axes.set(xlabel="weight w", ylabel="bias b")
        legend_above(axes, columns=2, narrow=True)
        return (self._here,)

    def _build_course(self, axes: Axes) -> tuple[Artist, ...]:
        (self._course,) = axes.plot([], [], "-", color=PALETTE["orange"], marker=".", markersize=4)
        plot_reference(axes)
        axes.set(xlim=(0, STEPS), ylim=(-1.08, 1.08), yticks=(-1, 0, 1), xticks=range(0, STEPS + 1, 20))
        axes.set(xlabel="step t", ylabel="state h")
        return (self._course,)

    def draw(self, result: Motion) -> None:
        """Move the map, its fixed points, the run, and the point in the plane."""
        self._map.set_data(GRID, result.after)
        self._cobweb.set_data(*result.cobweb.T)
        self._start.set_data([result.states[0]], [result.states[0]])
        for kind, points in self._fixed.items():
            of_kind = points_of_kind(result.fixed, result.stability, kind)
            points.set_data(of_kind, of_kind)
        self._here.set_data([result.weight], [result.bias])
        self._course.set_data(range(STEPS + 1), result.states)

    def describe(self, result: Motion) -> str:
        """The fixed points, what bounds them, and what became of the run."""
        fixed = ", ".join(
            f"{state:.3f} ({kind})" for state, kind in zip(result.fixed, result.stability, strict=True)
        )
        points = "1 fixed point" if len(result.fixed) == 1 else f"{len(result.fixed)} fixed points"
        return (
            f"With w = {result.weight:.2f} and b = {result.bias:.2f} the neuron has {points}: {fixed}. "
            f"{_bifurcation(result.weight)} "
            f"The run goes from {result.states[0]:.2f} to {result.states[-1]:.3f} in {STEPS} steps; "
            f"changes of sign on the way: {result.crossings}."
        )


def _draw_bifurcations(axes: Axes) -> None:
    """Where the number of fixed points changes, and where the one there is gives way to a cycle."""
    for furthest, slope, name, colour, style in (
        (WEIGHTS[1], 1, "folds", "blue", "-"),
        (WEIGHTS[0], -1, "period doubling", "purple", "-."),
    ):
        weights = np.copysign(np.geomspace(1, abs(furthest), 100), furthest)
        bias = critical_bias(weights, slope)
        edge = np.concatenate([weights[::-1], weights]), np.concatenate([bias[::-1], -bias])
        axes.fill(*edge, color=PALETTE[colour], alpha=0.2, linewidth=0, linestyle="-")
        axes.plot(*edge, style, color=PALETTE[colour], label=name)


def _bifurcation(weight: float) -> str:
    """At which bias this weight's bifurcations lie."""
    if weight > 1:
        return f"For this w, two of three fixed points vanish at b = ±{critical_bias(weight, 1):.3f}."
    if weight < -1:
        return f"For this w, the state alternates while |b| < {critical_bias(weight, -1):.3f}."
    return "For this w, no b gives it a memory."


def explorer() -> Explorer:
    """A neuron's weight, bias, start and noise, above the cobweb and the plane of its bifurcations."""
    return Explorer(model, Picture, CONTROLS)
