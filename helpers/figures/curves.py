"""Curves over time, delay or a parameter: what most figures of the book draw."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from helpers.figures.arrays import as_array
from helpers.figures.style import LINE_STYLES, MARKERS, PALETTE


def plot_curves(ax: Axes, x, curves: Mapping[str, object], *, markers: bool = False) -> None:
    """Draw named curves, each in its colour and its line style, and a legend if there are two or more.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array or Tensor (T,)
        What all curves share.
    curves : dict of array or Tensor (T,)
        By the name in the legend.
    markers : bool
        Whether points were computed only where the marks are.
    """
    if len(curves) > len(PALETTE):
        raise ValueError(f"curves must be at most {len(PALETTE)}, to be told apart: got {len(curves)}")
    styles = zip(PALETTE.values(), LINE_STYLES, MARKERS, strict=True)
    for (name, y), (colour, line, marker) in zip(curves.items(), styles, strict=False):
        look = {"linestyle": line, "color": colour, "marker": marker if markers else ""}
        ax.plot(as_array(x), as_array(y), label=name, **look)
    if len(curves) > 1:
        ax.legend()


def plot_profile(ax: Axes, steps, curves: Mapping[str, object], *, rounding: float | None = None) -> None:
    """Draw named sizes on a logarithmic axis, where what grows or shrinks per step by a factor is straight.

    Parameters
    ----------
    ax : Axes
        Where to draw; the logarithmic axis is the vertical one.
    steps : array or Tensor (T,)
        Step, or delay.
    curves : dict of array or Tensor (T,), > 0
        By the name in the legend.
    rounding : float, optional
        A size below which nothing counts: a thin line marks it.
    """
    plot_curves(ax, steps, curves)
    ax.set_yscale("log")
    if rounding is not None:
        ax.axhline(rounding, color=PALETTE["black"], linewidth=0.8)
        ax.annotate(
            "rounding error", (1, rounding), xycoords=("axes fraction", "data"), ha="right", va="bottom"
        )


def plot_band(ax: Axes, x, low, high, *, middle=None, truth=None, label: str = "90 %") -> None:
    """Draw an interval for each x, what lies in its middle, and the truth beside it.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x, low, high : array or Tensor (T,)
        The band's edges over x.
    middle, truth : array or Tensor (T,), optional
        The estimate, dashed, and what it is an estimate of, black.
    label : str
        What the band holds, in the legend.
    """
    edges = as_array(x), as_array(low), as_array(high)
    ax.fill_between(*edges, color=PALETTE["sky"], alpha=0.4, linewidth=0, label=label)
    if middle is not None:
        ax.plot(as_array(x), as_array(middle), "--", color=PALETTE["blue"], label="estimate")
    if truth is not None:
        ax.plot(as_array(x), as_array(truth), "-", color=PALETTE["black"], label="truth")
    ax.legend()


def plot_forecast(ax: Axes, seen, forecast, *, truth=None, label: str = "90 %") -> None:
    """Draw what was seen, the forecast that goes on from there with its interval, and what came.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    seen : pair of array or Tensor (T,)
        Times and readings.
    forecast : four of array or Tensor (F,)
        Times, lower edge, middle and upper edge; a thin line marks where it begins.
    truth : pair of array or Tensor (F,), optional
        Times and readings that the forecast did not see, as hollow marks.
    label : str
        What the interval holds, in the legend.
    """
    times, low, middle, high = forecast
    ax.plot(*map(as_array, seen), "o", color=PALETTE["black"], label="seen")
    if truth is not None:
        ax.plot(*map(as_array, truth), "o", color=PALETTE["black"], mfc="white", label="not seen")
    ax.axvline((as_array(seen[0])[-1] + as_array(times)[0]) / 2, color=PALETTE["grey"], linewidth=0.8)
    plot_band(ax, times, low, high, middle=middle, label=label)


def plot_product(ax: Axes, factors) -> None:
    """Draw how a product grows or shrinks, in powers of ten, factor by factor.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    factors : array or Tensor (T,), > 0
        The size of each factor, such as the stretch by each step's Jacobian: a stem. A line is their product.
    """
    powers = np.log10(as_array(factors))
    steps = np.arange(1, len(powers) + 1)
    ax.vlines(steps, 0, powers, color=PALETTE["vermilion"], linewidth=1.2)
    ax.plot(steps, powers, "s", color=PALETTE["vermilion"], markersize=3, label="factor")
    ax.plot(steps, np.cumsum(powers), "-", color=PALETTE["blue"], label="product so far")
    ax.axhline(0, color=PALETTE["black"], linewidth=0.8)
    ax.set(xlabel="step", ylabel="log₁₀ of the size")
    ax.legend()


def plot_seeds(ax: Axes, groups: Mapping[str, object], *, baseline: float | None = None) -> None:
    """Draw one dot for each seed and a bar at the median, side by side for each way that was tried.

    Parameters
    ----------
    ax : Axes
        Where to draw; the ways are named below.
    groups : dict of array or Tensor (S,)
        One number for each seed, by the name of the way.
    baseline : float, optional
        What costs nothing, such as chance: a dashed line.
    """
    for place, values in enumerate(map(as_array, groups.values())):
        beside = place + 0.3 * (np.arange(len(values)) - (len(values) - 1) / 2) / len(values)
        ax.plot(beside, values, "o", color=PALETTE["blue"], label="" if place else "one seed")
        bar = {"color": PALETTE["vermilion"], "linewidth": 2.5, "label": "" if place else "median"}
        ax.hlines(np.median(values), place - 0.3, place + 0.3, **bar)
    if baseline is not None:
        ax.axhline(baseline, color=PALETTE["black"], linestyle="--", linewidth=1, label="baseline")
    ax.set_xticks(range(len(groups)), groups)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.grid(False, axis="x")
    ax.legend()
