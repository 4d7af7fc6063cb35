"""What several explorers draw alike."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.dynamics import MARGINAL, STABLE
from helpers.figures import PALETTE

SMALL_FONT = 9.5
"""Size in points, of legends and of words on the axes."""


def legend_above(axes: Axes, columns: int, *, narrow: bool = False) -> None:
    """Put the legend above the axes; a narrow one leaves less space between and within its columns."""
    spacing, length = (1.2, 1.8) if narrow else (None, None)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=columns, fontsize=SMALL_FONT,
        labelspacing=0.3, columnspacing=spacing, handlelength=length,
    )  # fmt: skip


def legend_of_figure(figure: Figure, column_spacing: float) -> None:
    """Put one legend of all axes above them, in four columns."""
    figure.legend(
        loc="outside upper center",
        ncols=4,
        fontsize=SMALL_FONT,
        handlelength=2.2,
        columnspacing=column_spacing,
    )


def name_region(axes: Axes, x: float, y: float, words: str) -> None:
    """Write words in the middle of a region."""
    axes.text(x, y, words, fontsize=SMALL_FONT, ha="center", va="center")


def plot_reference(axes: Axes, height: float = 0.0) -> None:
    """Draw a thin line across the axes, at zero or another height."""
    axes.axhline(height, color=PALETTE["black"], linewidth=0.8)


def plot_settings(axes: Axes, label: str) -> Line2D:
    """Mark where the settings lie among all that can be chosen; on the edge it is not cut off."""
    (here,) = axes.plot([0], [0], "P", color=PALETTE["vermilion"], ms=10, mec="white", label=label)
    here.set_clip_on(False)
    return here


def plot_fixed_points(axes: Axes, repelling: str) -> dict[str, Line2D]:
    """Make one mark for each kind of fixed point: filled if stable, hollow if repelling, grey if marginal.

    Parameters
    ----------
    axes : Axes
        Where they are drawn.
    repelling : str
        What the hollow mark stands for, `unstable` or `saddle`.

    Returns
    -------
    dict of Line2D
        By kind; where they lie is set at each redraw.
    """
    looks = (STABLE, "o", PALETTE["black"]), (repelling, "o", "white"), (MARGINAL, "D", PALETTE["grey"])
    return {
        kind: axes.plot([0], [0], marker, markersize=9, color=PALETTE["black"], mfc=face, label=kind)[0]
        for kind, marker, face in looks
    }


def points_of_kind(points: np.ndarray, kinds: tuple[str, ...], kind: str) -> np.ndarray:
    """Those of the fixed points (N, ...) that are of one kind."""
    return points[np.array(kinds) == kind]


def outline(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the corners (2 n, 2) of a band, along its lower edge and back along its upper one."""
    forth, back = np.column_stack([x, low]), np.column_stack([x, high])
    return np.concatenate([forth, back[::-1]])
