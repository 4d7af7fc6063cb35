"""A figure that redraws only what moves."""

from collections.abc import Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from helpers.explorers.png import encode_png
from helpers.figures.output import PIXELS_PER_INCH


class Blitted:
    """A figure whose still parts are drawn once, and whose moving artists are drawn on top each time.

    Pyplot does not know of the figure, so it is forgotten with its last reference. It has one pixel per CSS
    pixel: encoding and decoding take most of a redraw's time, and that time grows with the pixels.

    Parameters
    ----------
    figure : Figure
        Complete, with the artists that will move already on it.
    moving : iterable of Artist
        The artists whose data change. They lie above everything that is still.
    """

    def __init__(self, figure: Figure, moving: Iterable[Artist]):
        figure.set_dpi(PIXELS_PER_INCH)
        self._figure = figure
        self._moving = sorted(moving, key=Artist.get_zorder)
        for artist in self._moving:
            artist.set_animated(True)
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    @property
    def width(self) -> int:
        """Width on the page, in CSS pixels."""
        return round(self._figure.get_figwidth() * PIXELS_PER_INCH)

    def png(self) -> bytes:
        """The figure as it stands now, as a PNG file."""
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            self._figure.draw_artist(artist)
        return encode_png(np.asarray(self._canvas.buffer_rgba()))
