"""A figure that redraws only what moves, as a PNG that is written for speed."""

import struct
import zlib
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from helpers.figures import PIXELS_PER_INCH, fit_column, width_on_page

SHARPNESS = 1.5
"""Pixels per CSS pixel; two, as in figures that stand still, would make each move half as long again."""


class Picture(Protocol):
    """What an explorer asks of a picture: it is built once, and then only its moving artists' data change."""

    figure: Figure
    moving: tuple[Artist, ...]

    def draw(self, result: Any) -> None:
        """Give the artists the data of a result."""

    def describe(self, result: Any) -> str:
        """Say in words and numbers what the picture of a result shows: its caption and its alternative text.

        Numbers belong here rather than on the figure, where every letter is drawn anew each time.
        """


class BlittedFigure:
    """A figure whose still parts are drawn once, and whose moving artists are drawn on top each time.

    Pyplot does not know of the figure, so it is forgotten with its last reference. It gets the size of
    the book's other figures, and so has letters as large.

    Parameters
    ----------
    figure : Figure
        Complete, with the artists that will move already on it.
    moving : iterable of Artist
        The artists whose data change. They lie above everything that is still.
    """

    def __init__(self, figure: Figure, moving: Iterable[Artist]):
        fit_column(figure)
        figure.set_dpi(PIXELS_PER_INCH * SHARPNESS)
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
        return width_on_page(self._figure)

    def png(self) -> bytes:
        """The figure as it stands now, as a PNG file."""
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            self._figure.draw_artist(artist)
        return encode_png(np.asarray(self._canvas.buffer_rgba()))


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS, _RGBA = 8, 6
_UP = 2


def encode_png(pixels: np.ndarray) -> bytes:
    """A picture as a PNG file, each row stored as its difference from the row above.

    Where a figure is plain that is zero, so that no other filter needs to be tried.

    Parameters
    ----------
    pixels : array (height, width, 4), uint8
        Red, green, blue and opacity.

    Returns
    -------
    bytes
        The content of the file.

    Source: ISO/IEC 15948:2004, Portable Network Graphics, sections 5, 9.2 and 11.2.2.
    """
    height, width, channels = pixels.shape
    scan_lines = pixels.reshape(height, width * channels)
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = scan_lines[0]
    np.subtract(scan_lines[1:], scan_lines[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, _EIGHT_BITS, _RGBA, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", _compress(rows)) + _chunk(b"IEND", b"")


def _compress(rows: np.ndarray) -> bytes:
    """Deflate, told that the rows are differences: as small as without the hint, and faster."""
    deflate = zlib.compressobj(level=1, strategy=zlib.Z_FILTERED)
    return deflate.compress(rows) + deflate.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
