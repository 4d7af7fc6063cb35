"""One look for every figure of the book, and a way to show a figure that a screen reader can read too."""

from helpers.figures.output import PIXELS_PER_INCH, SHARPNESS, fit_column, image_bundle, show, width_on_page
from helpers.figures.style import LINE_STYLES, MARKERS, PALETTE, theme
from helpers.figures.table import Table

__all__ = [
    "LINE_STYLES",
    "MARKERS",
    "PALETTE",
    "PIXELS_PER_INCH",
    "SHARPNESS",
    "Table",
    "fit_column",
    "image_bundle",
    "show",
    "theme",
    "width_on_page",
]
