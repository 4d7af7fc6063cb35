"""Explorer of chapter 07: the toggle switch's vector field and basins, and noise that crosses over."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import normalize

from helpers.dynamics import SADDLE, STABLE, FixedPoints, Flow, fixed_points, stable_manifold
from helpers.explorers.drawing import (
    legend_above,
    plot_fixed_points,
    plot_reference,
    plot_settings,
    points_of_kind,
)
from helpers.explorers.engine import Explorer, Slider
from helpers.figures import PALETTE, theme
from helpers.systems import ToggleSwitch, critical_alpha

EDGE = 7.0
"""What the picture shows of u and of v, from 0."""
LEVELS = np.linspace(0.0, EDGE, 141)
TIME_STEP, STEPS = 0.1, 300
TIMES = TIME_STEP * np.arange(STEPS + 1)
STARTS = ((0.9, 0.1), (6.3, 2.2), (6.0, 5.2), (0.1, 0.6), (1.2, 6.4), (4.4, 6.2))
"""Where trajectories begin: three times with u > v, three times with v > u."""
HALF = len(STARTS) // 2
NEWTON_STEPS = 32
"""Enough to find every fixed point at every stop."""
BORDER_LENGTH, BORDER_POINTS = 11.5, 24
"""How far the border of the basins is followed on each side of the saddle, and by how many points."""
ALPHAS, COEFFICIENTS = (0.5, 6.0), (1.0, 4.0)

CONTROLS = (
    Slider(
        "synthesis", "α", "1/lifetime", *ALPHAS, value=3.0, step=0.1,
        meaning="How fast a repressor is made while the other is absent: u' = α / (1 + vⁿ) - u",
    ),
    Slider(
        "cooperativity", "n", "", *COEFFICIENTS, value=2.0, step=0.1,
        meaning="Hill coefficient: how cooperatively a repressor binds",
    ),
    Slider(
        "noise", "σ", "1/√lifetime", 0.0, 1.0, value=0.0, step=0.05,
        meaning="Strength of white noise, other for u than for v: du = (α / (1 + vⁿ) - u) dt + σ dW",
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Switch:
    """A toggle switch: its vector field, where it rests, what divides its basins, and six trajectories.

    Attributes
    ----------
    synthesis, cooperativity : float
        α and n.
    directions : array (196, 2)
        (u', v') / ‖(u', v')‖ at the points of `_grid`.
    nullcline : array (141,)
        α / (1 + xⁿ) at `LEVELS`: u' = 0 as a function of v, and v' = 0 as a function of u.
    fixed : array (N, 2)
        The fixed points in the order of u; N is 1 or 3.
    growth : array (N,)
        The largest real part of each one's eigenvalues, per lifetime.
    stability : tuple of N str
        `stable`, `saddle` or `marginal`.
    separatrix : array (49, 2) or (0, 2)
        Points on the border of the two basins, both coordinates ascending; none where there is one basin.
    trajectories : array (6, 301, 2)
        u and v from each of `STARTS`, at `TIMES`, noise included.
    """

    synthesis: float
    cooperativity: float
    directions: np.ndarray
    nullcline: np.ndarray
    fixed: np.ndarray
    growth: np.ndarray
    stability: tuple[str, ...]
    separatrix: np.ndarray
    trajectories: np.ndarray

    def fixed_points(self, kind: str) -> np.ndarray:
        """The fixed points (·, 2) of one kind."""
        return points_of_kind(self.fixed, self.stability, kind)

    @property
    def is_bistable(self) -> bool:
        """Whether it can remember."""
        return len(self.separatrix) > 0

    @property
    def distance_to_saddle(self) -> float:
        """How far from the saddle its nearest stable state lies; only where there are two."""
        ways = self.fixed_points(STABLE) - self.fixed_points(SADDLE)
        return float(np.linalg.norm(ways, axis=-1).min())

    @property
    def u_wins(self) -> np.ndarray:
        """Whether each trajectory, at each time, is where u would win without noise (6, 301)."""
        u, v = np.moveaxis(self.trajectories, -1, 0)
        return v < np.interp(u, *self.separatrix.T) if self.is_bistable else np.zeros(u.shape, bool)

    @property
    def switches(self) -> int:
        """How many trajectories end in another basin than they began in."""
        return int(np.count_nonzero(self.u_wins[:, 0] != self.u_wins[:, -1]))


def find_rest_states(system: ToggleSwitch) -> FixedPoints:
    """The fixed points, sought from all along the nullcline v' = 0, on which they lie, and the line u = v.

    Of equal genes, one fixed point has u = v. Near the pitchfork only starts on that line lead to it surely.
    """
    u = torch.linspace(0, system.alpha, 9, dtype=torch.float64)
    on_nullcline = torch.stack([u, system.alpha * system.repression(u)], dim=-1)
    on_diagonal = torch.stack([u, u], dim=-1)
    return fixed_points(Flow(system), torch.cat([on_nullcline, on_diagonal]), max_steps=NEWTON_STEPS)


def separatrix(system: ToggleSwitch, saddle: Tensor) -> Tensor:
    """The border of the two basins (49, 2): the saddle's stable manifold, both coordinates ascending."""

    def field(t: float, y: Tensor) -> Tensor:
        return system(t, y.clamp_min(0))  # beyond the axes, as on them: that far nobody looks

    flow = Flow(field, system.jacobian)
    return stable_manifold(flow, saddle, length=BORDER_LENGTH, points=BORDER_POINTS, offset=1e-2)


@cache
def _grid() -> Tensor:
    """The points (u, v) (196, 2) of the vector field."""
    levels = EDGE * (torch.arange(14, dtype=torch.float64) + 0.5) / 14
    return torch.cartesian_prod(levels, levels)


@cache
def _shocks() -> Tensor:
    """Standard normal numbers (300, 6, 2), the same at every setting.

    The seed is one for which so few give u and v of a linear system, too, about the variance of very many.
    """
    generator = torch.Generator().manual_seed(45)
    return torch.randn(STEPS, len(STARTS), 2, generator=generator, dtype=torch.float64)


def simulate(system: ToggleSwitch, noise: float) -> Tensor:
    """Trajectories (6, 301, 2) from `STARTS` by the Euler-Maruyama method; without noise, Euler's.

    ::

        y_{k+1} = |y_k + Δt f(y_k) + σ √Δt z_k|        z_k ~ N(0, 1)

    Concentrations are not negative: what noise would carry below zero is reflected.

    Parameters
    ----------
    system : callable
        f.
    noise : float
        σ.

    Source: the reflection: Bossy, Gobet and Talay (2004), A symmetrized Euler scheme for an efficient
    approximation of reflected diffusions, Journal of Applied Probability 41:877-889.
    """
    states = [torch.tensor(STARTS, dtype=torch.float64)]
    for kick in noise * math.sqrt(TIME_STEP) * _shocks():
        states.append((states[-1] + TIME_STEP * system(0.0, states[-1]) + kick).abs())
    return torch.stack(states, dim=1)


@torch.inference_mode()
def model(synthesis: float, cooperativity: float, noise: float) -> Switch:
    """Find where the switch rests, follow the border of its basins, and run it."""
    system = ToggleSwitch(synthesis, cooperativity)
    found = find_rest_states(system)
    saddles = found.states[[kind == SADDLE for kind in found.stability]]  # (1, 2) or (0, 2)
    return Switch(
        synthesis=synthesis,
        cooperativity=cooperativity,
        directions=normalize(system(0.0, _grid()), dim=-1).numpy(),
        nullcline=synthesis / (1 + LEVELS**cooperativity),
        fixed=found.states.numpy(),
        growth=found.eigenvalues.real.amax(-1).numpy(),
        stability=found.stability,
        separatrix=(separatrix(system, saddles[0]) if len(saddles) else saddles).numpy(),
        trajectories=simulate(system, noise).numpy(),
    )


class Picture:
    """Left, the plane of both repressors; right, which settings can remember, and u - v in time."""

    def __init__(self):
        with theme():
            self.figure = Figure(figsize=(7.4, 4.7))
            axes = self.figure.subplot_mosaic(
                [["plane", "settings"], ["plane", "course"]], width_ratios=(12, 9)
            )
            self.moving = (
                *self._build_plane(axes["plane"]),
                *self._build_settings(axes["settings"]),
                *self._build_course(axes["course"]),
            )

    def _build_plane(self, axes: Axes) -> tuple[Artist, ...]:
        self._basins = [
            axes.fill([], [], color=PALETTE[colour], alpha=0.22, linewidth=0, linestyle="-", label=label)[0]
            for colour, label in (("sky", "u wins"), ("orange", "v wins"))
        ]
        self._field = axes.quiver(
            *_grid().numpy().T, *np.zeros((2, len(_grid()))), pivot="mid", angles="xy", scale_units="xy",
            scale=3.4, width=0.0035, headwidth=4.5, color=PALETTE["grey"], zorder=1.5,
        )  # fmt: skip
        (self._u_rests,) = axes.plot([], [], "-", color=PALETTE["green"], label="u' = 0")
        (self._v_rests,) = axes.plot([], [], "--", color=PALETTE["purple"], label="v' = 0")
        (self._separatrix,) = axes.plot([], [], ":", color=PALETTE["black"], label="separatrix")
        self._paths = _plot_trajectories(axes)
        for path in self._paths:
            path.set(linewidth=0.8, alpha=0.6, marker="^", markevery=[0], zorder=1.8)
        self._fixed = plot_fixed_points(axes, SADDLE)
        for points in self._fixed.values():
            points.set_clip_on(False)
        axes.set(xlim=(0, EDGE), ylim=(0, EDGE), aspect="equal", xticks=range(8), yticks=range(8))
        axes.set(xlabel="u [half-repressing amounts]", ylabel="v [half-repressing amounts]")
        legend_above(axes, columns=3, narrow=True)
        lines = (self._u_rests, self._v_rests, self._separatrix)
        return *self._basins, self._field, *lines, *self._paths, *self._fixed.values()

    def _build_settings(self, axes: Axes) -> tuple[Artist, ...]:
        n = np.linspace(1.3, COEFFICIENTS[1], 100)
        blue, region = PALETTE["blue"], "two stable states"  # in the legend no mark of settings covers it
        axes.fill_between(n, critical_alpha(n), 99, color=blue, alpha=0.2, linewidth=0, label=region)
        axes.plot(n, critical_alpha(n), "-", color=blue, label="pitchfork; below: one")
        self._here = plot_settings(axes, "(n, α)")
        axes.set(xlim=COEFFICIENTS, ylim=(0, ALPHAS[1]), xticks=range(1, 5), yticks=range(0, 7, 2))
        axes.set(xlabel="cooperativity n", ylabel="synthesis α [1/lifetime]")
        legend_above(axes, columns=2, narrow=True)
        return (self._here,)

    def _build_course(self, axes: Axes) -> tuple[Artist, ...]:
        plot_reference(axes)
        self._courses = _plot_trajectories(axes)
        for index, label in ((0, "from u > v"), (HALF, "from v > u")):
            self._courses[index].set_label(label)
        axes.set(xlim=(0, TIMES[-1]), ylim=(-8.0, 8.0), xticks=range(0, 31, 10), yticks=(-6, -3, 0, 3, 6))
        axes.set(xlabel="time t [lifetimes]", ylabel="u - v")
        legend_above(axes, columns=2, narrow=True)
        return tuple(self._courses)

    def draw(self, result: Switch) -> None:
        """Move the field with its fixed points, basins and trajectories, and the point of the settings."""
        self._field.set_UVC(*result.directions.T)
        self._u_rests.set_data(result.nullcline, LEVELS)
        self._v_rests.set_data(LEVELS, result.nullcline)
        self._separatrix.set_data(*result.separatrix.T)
        for basin, corner in zip(self._basins, ((99, -99), (-99, 99)), strict=True):
            basin.set_xy([*result.separatrix, corner])
        for kind, points in self._fixed.items():
            points.set_data(*result.fixed_points(kind).T)
        for path, course, states in zip(self._paths, self._courses, result.trajectories, strict=True):
            path.set_data(*states.T)
            course.set_data(TIMES, states[:, 0] - states[:, 1])
        self._here.set_data([result.cooperativity], [result.synthesis])

    def describe(self, result: Switch) -> str:
        """Where the switch rests, what it takes to remember, and how many trajectories changed sides."""
        return f"{_rest(result)} {_pitchfork(result.cooperativity)} {_fate(result)}"


def _plot_trajectories(axes: Axes) -> list[Artist]:
    """One line from each start, in the look of its side."""
    looks = [("-", "blue")] * HALF + [((0, (5, 1)), "vermilion")] * HALF
    return [
        axes.plot([], [], linestyle=style, color=PALETTE[colour], linewidth=1.1)[0] for style, colour in looks
    ]


def _rest(result: Switch) -> str:
    """The fixed points, each with its kind and its slowest or growing eigenvalue."""
    points = ", ".join(
        f"({u:.2f}, {v:.2f}) ({kind}, largest eigenvalue {growth:+z.2f})"
        for (u, v), kind, growth in zip(result.fixed, result.stability, result.growth, strict=True)
    )
    return f"With α = {result.synthesis:.1f} and n = {result.cooperativity:.1f}, (u, v) can rest at {points}."


def _pitchfork(n: float) -> str:
    """From which α on there are two stable states."""
    if n > 1:
        return f"For this n there are two stable states where α is above {critical_alpha(n):.2f}."
    return "For this n there is one stable state at every α."


def _fate(result: Switch) -> str:
    """What became of the trajectories."""
    if not result.is_bistable:
        return "All trajectories are drawn to one place: where they began is forgotten."
    return (
        f"From either stable state to the saddle it is {result.distance_to_saddle:.2f}. "
        f"Of {len(STARTS)} trajectories, {result.switches} end in another basin "
        f"than they began in after {TIMES[-1]:.0f} lifetimes."
    )


def explorer() -> Explorer:
    """A toggle switch's synthesis, cooperativity and noise, above its vector field and its trajectories."""
    return Explorer(model, Picture, CONTROLS)
