"""The book's one look: a palette for every kind of colour vision, doubled by line styles and markers."""

from contextlib import AbstractContextManager

import matplotlib as mpl
from cycler import cycler

PALETTE = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "black": "#000000",
    "grey": "#767676",
}
"""Eight named colours, safe for colour-blind readers. Source: Okabe & Ito (2008), *Color Universal Design*;
their yellow, unreadable on white, gives way to a grey of contrast 4.5 : 1."""

LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
"""One line style per colour, so that colour is never the only difference between two lines."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One marker per colour, for points."""

_STYLE = {
    "axes.prop_cycle": cycler(color=list(PALETTE.values())) + cycler(linestyle=LINE_STYLES),
    "figure.figsize": (9.8, 4.4),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "grid.linestyle": "-",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": True,  # a white ground, without an edge: words on lines stay legible
    "legend.framealpha": 0.6,
    "legend.edgecolor": "none",
    "legend.fontsize": 9.5,
    "legend.handlelength": 2.6,
    "svg.hashsalt": "living-dynamics",
}


def theme() -> AbstractContextManager[None]:
    """The look of the book while the `with` block lasts; the global rcParams return unchanged after it.

    Use it where the figure is built::

        with theme():
            fig, ax = plt.subplots()
            ax.plot(hours, concentration)
        show(fig, alt="Concentration falls by half every eight hours.")
    """
    return mpl.rc_context(_STYLE)
