"""What cells remember: their gates beside the signal, and how often they learn to bridge a lag."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from helpers.figures.arrays import as_array
from helpers.figures.style import LINE_STYLES, MARKERS, PALETTE

SPREAD = 0.5
"""How much of the space between two lags the marks of all cells take."""


def plot_gates(axes: Sequence[Axes], times, gates: Mapping[str, object]) -> None:
    """Draw gates over time, each on axes of its own as a map of its units: white is closed, blue is open.

    Put them below the axes of the signal, in `plt.subplots(1 + len(gates), sharex=True)`.

    Parameters
    ----------
    axes : sequence of Axes
        One for each gate; a colour bar at their right takes its space from all of them.
    times : array or Tensor (T,)
        Increasing; steps may differ in length.
    gates : dict of array or Tensor (T, H)
        Between 0 and 1, by the name of the gate; NaN stays empty.
    """
    if len(axes) != len(gates):
        raise ValueError(f"axes must be one for each of {len(gates)} gates: got {len(axes)}")
    times = as_array(times)
    for ax, (name, gate) in zip(axes, gates.items(), strict=True):
        opening = as_array(gate).T  # (H, T)
        if opening.ndim != 2 or opening.shape[1] != len(times):
            raise ValueError(f"gates must be ({len(times)}, H), as times: {name} is {opening.T.shape}")
        units = np.arange(1, len(opening) + 1)
        cells = ax.pcolormesh(times, units, opening, cmap="Blues", vmin=0, vmax=1, rasterized=True)
        ax.set(ylabel=f"{name}\nunit", yticks=sorted({1, len(units)}))
        ax.grid(False)
    bar = axes[0].figure.colorbar(cells, ax=list(axes), ticks=[0, 0.5, 1], pad=0.02)
    bar.ax.set_yticklabels(["0, closed", "½", "1, open"])


def plot_success(
    ax: Axes, lags, shares: Mapping[str, object], intervals: Mapping[str, object], *, chance=None
) -> None:
    """Draw how often each cell succeeds at each lag, side by side, with the interval of the share.

    Parameters
    ----------
    ax : Axes
        Where to draw; lags stand at equal distances, however far apart they are.
    lags : sequence of int (L,)
        In steps.
    shares : dict of array or Tensor (L,)
        Between 0 and 1, by the name of the cell; NaN where it was not tried.
    intervals : dict of array or Tensor (L, 2)
        Lower and upper edge, such as Wilson's, of the same cells.
    chance : float, optional
        The share that costs nothing: a dashed line.
    """
    if set(shares) != set(intervals):
        raise ValueError(f"intervals must be of the cells {', '.join(shares)}: got {', '.join(intervals)}")
    places = np.arange(len(lags))
    looks = zip(PALETTE.values(), LINE_STYLES, MARKERS, strict=True)
    offsets = SPREAD * (np.arange(len(shares)) - (len(shares) - 1) / 2) / max(len(shares), 1)
    for (name, share), offset, (colour, line, marker) in zip(shares.items(), offsets, looks, strict=False):
        low, high = as_array(intervals[name]).T
        at, middle, half = places + offset, (low + high) / 2, (high - low) / 2
        ax.errorbar(at, middle, half, color=colour, linestyle="none", capsize=3, linewidth=1.2)
        look = {"color": colour, "marker": marker, "linestyle": line, "linewidth": 1, "markersize": 6}
        ax.plot(at, as_array(share), label=name, **look)
    if chance is not None:
        ax.axhline(chance, color=PALETTE["black"], linestyle="--", linewidth=1, label="chance")
    ax.set_xticks(places, [f"{lag}" for lag in lags])
    ax.set(xlabel="lag [steps]", ylabel="share of runs that succeed", ylim=(-0.04, 1.04))
    ax.grid(False, axis="x")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
