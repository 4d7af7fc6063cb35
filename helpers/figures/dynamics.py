"""States in motion: the phase plane, fixed points, spectra, and branches over a parameter."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Circle

from helpers.figures.arrays import as_array
from helpers.figures.style import MARKERS, PALETTE

ARROWS = 18
"""At most so many arrows in a row, however fine the grid."""

BASIN_SHADES = ("#E3F1FA", "#FBE9DF", "#E2F4EC", "#F7E8F1")
UNIT_DISC = "#EFEFEF"

STABLE_LINE, UNSTABLE_LINE = ("stable", "-", "blue", 2.2), ("unstable", "--", "black", 1.2)

FIXED_POINTS = {
    "stable": ("o", "black"),
    "saddle": ("X", "white"),
    "unstable": ("o", "white"),
    "marginal": ("D", "grey"),
}


def plot_phase_portrait(
    ax: Axes, states, velocity, *, names: tuple[str, str] = ("u", "v"), nullclines: bool = True
) -> None:
    """Draw the directions of a flow in the plane, and its nullclines, on which one velocity is zero.

    Parameters
    ----------
    ax : Axes
        Where to draw, with equal units on both axes.
    states : array or Tensor (R, C, 2)
        A rectangular grid: `torch.stack(torch.meshgrid(u, v, indexing="ij"), -1)`.
    velocity : array or Tensor (R, C, 2)
        The field there.
    names : pair of str
        Of the two variables, on the axes and in the legend.
    nullclines : bool
        Whether to draw where du/dt = 0 (blue, solid) and dv/dt = 0 (vermilion, dashed).
    """
    states, velocity = as_array(states), as_array(velocity)
    if states.ndim != 3 or states.shape[-1] != 2 or states.shape != velocity.shape:
        raise ValueError(
            f"states and velocity must both be (R, C, 2): got {states.shape} and {velocity.shape}"
        )
    _plot_arrows(ax, states, velocity)
    u, v = states[..., 0], states[..., 1]
    for i, (colour, line) in enumerate((("blue", "-"), ("vermilion", "--")) if nullclines else ()):
        if velocity[..., i].min() < 0 < velocity[..., i].max():
            ax.contour(u, v, velocity[..., i], [0.0], colors=PALETTE[colour], linestyles=line, linewidths=1.8)
            ax.plot([], [], line, color=PALETTE[colour], label=f"d{names[i]}/dt = 0")
            _legend_beside(ax)
    ax.set(xlabel=names[0], ylabel=names[1], aspect="equal")
    ax.set(xlim=(u.min(), u.max()), ylim=(v.min(), v.max()))
    ax.grid(False)


def plot_basins(ax: Axes, states, ends, names: Sequence[str]) -> None:
    """Shade each state of the plane by the attractor that it ends in.

    Parameters
    ----------
    ax : Axes
        Where to draw, below all else.
    states : array or Tensor (R, C, 2)
        A rectangular grid.
    ends : array or Tensor (R, C), int or bool
        The number of the attractor, from 0.
    names : sequence of str
        Of the basins in the legend, at most four.
    """
    states, ends = as_array(states), as_array(ends).astype(int)
    if len(names) > len(BASIN_SHADES) or ends.min() < 0 or ends.max() >= len(names):
        raise ValueError(
            f"ends must number {len(names)} names, at most {len(BASIN_SHADES)}: got up to {ends.max()}"
        )
    shades = ListedColormap(BASIN_SHADES[: len(names)])
    ax.pcolormesh(*np.moveaxis(states, -1, 0), ends, cmap=shades, vmin=-0.5, vmax=len(names) - 0.5, zorder=0)
    for shade, name in zip(BASIN_SHADES, names, strict=False):
        ax.fill([], [], color=shade, label=name)
    _legend_beside(ax)


def plot_fixed_points(ax: Axes, states, stability: Sequence[str]) -> None:
    """Mark fixed points: stable filled, saddle a hollow cross, unstable hollow, marginal a grey diamond.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    states : array or Tensor (N, 2)
        Where they are.
    stability : sequence of str
        The label of each, as `fixed_points` gives them.
    """
    states, stability = as_array(states), np.array(stability)
    if unknown := set(stability) - set(FIXED_POINTS):
        raise ValueError(f"stability must be one of {', '.join(FIXED_POINTS)}: got {min(unknown)}")
    for kind, (marker, face) in FIXED_POINTS.items():
        points = states[stability == kind]
        if len(points):
            look = {
                "mec": "black",
                "mfc": PALETTE.get(face, face),
                "markersize": 8,
                "zorder": 4,
                "clip_on": False,
            }
            ax.plot(*points.T, marker, linestyle="none", label=kind, **look)
    _legend_beside(ax)


def plot_spectrum(ax: Axes, spectra: Mapping[str, object], *, centre: float = 0.0) -> None:
    """Draw eigenvalues in the complex plane, and the unit circle, inside which a map contracts.

    Parameters
    ----------
    ax : Axes
        Where to draw, with equal units on both axes.
    spectra : dict of array or Tensor (N,), complex
        Eigenvalues, by the name in the legend.
    centre : float
        Of the circle; at −1 it is where Euler's steps Δt·λ are stable.
    """
    disc = {"facecolor": UNIT_DISC, "edgecolor": PALETTE["black"], "linewidth": 1, "zorder": 0.5}
    ax.add_patch(Circle((centre, 0), 1, label="unit circle", **disc))
    looks = zip(("blue", "vermilion", "green", "purple"), MARKERS, strict=False)
    for (name, eigenvalues), (colour, marker) in zip(spectra.items(), looks, strict=False):
        values = as_array(eigenvalues)
        ax.plot(values.real, values.imag, marker, color=PALETTE[colour], markersize=4, label=name)
    ax.autoscale_view()
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    _legend_beside(ax)


def plot_branch(ax: Axes, parameter, states, stable) -> None:
    """Draw a branch of fixed points over a parameter: stable solid, unstable dashed.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    parameter, states : array or Tensor (P,)
        Along the branch, which may turn back.
    stable : array or Tensor (P,), bool
        Whether each point is.
    """
    parameter, states, stable = as_array(parameter), as_array(states), as_array(stable).astype(bool)
    changes = np.flatnonzero(stable[1:] != stable[:-1]) + 1
    for begin, end in zip((0, *changes), (*changes, len(stable)), strict=True):
        piece = slice(max(begin - 1, 0), end)  # without a gap to the piece before
        name, line, colour, width = STABLE_LINE if stable[begin] else UNSTABLE_LINE
        first = name not in ax.get_legend_handles_labels()[1]
        ax.plot(
            parameter[piece],
            states[piece],
            line,
            color=PALETTE[colour],
            linewidth=width,
            label=name if first else "",
        )
    ax.legend()


def _plot_arrows(ax: Axes, states: np.ndarray, velocity: np.ndarray) -> None:
    """Arrows of one length, darker where the flow is faster, on a part of a fine grid."""
    rows, columns = (slice(None, None, -(-n // ARROWS)) for n in states.shape[:2])
    at, speed = states[rows, columns], np.linalg.norm(velocity[rows, columns], axis=-1)
    direction = velocity[rows, columns] / np.where(speed > 0, speed, 1)[..., None]
    shade = np.sqrt(speed / max(speed.max(), np.finfo(float).tiny))
    look = {"angles": "xy", "scale": 1.5 * ARROWS, "width": 0.004, "cmap": "Greys", "clim": (-0.5, 1.2)}
    ax.quiver(*np.moveaxis(at, -1, 0), *np.moveaxis(direction, -1, 0), shade, zorder=1.5, **look)


def _legend_beside(ax: Axes) -> None:
    """Put the legend to the right: the plane leaves no corner free."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
