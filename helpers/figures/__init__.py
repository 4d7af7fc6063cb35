"""One look for every figure of the book, what they draw again and again, and a way to show them to all."""

from helpers.figures.arrays import as_array
from helpers.figures.curves import (
    plot_band,
    plot_curves,
    plot_forecast,
    plot_product,
    plot_profile,
    plot_seeds,
)
from helpers.figures.dynamics import (
    plot_basins,
    plot_branch,
    plot_fixed_points,
    plot_phase_portrait,
    plot_spectrum,
)
from helpers.figures.memory import plot_gates, plot_success
from helpers.figures.output import (
    PIXELS_PER_INCH,
    caption_bundle,
    fit_column,
    image_bundle,
    show,
    width_on_page,
)
from helpers.figures.style import LINE_STYLES, MARKERS, PALETTE, theme
from helpers.figures.table import Table

__all__ = [
    "LINE_STYLES",
    "MARKERS",
    "PALETTE",
    "PIXELS_PER_INCH",
    "Table",
    "as_array",
    "caption_bundle",
    "fit_column",
    "image_bundle",
    "plot_band",
    "plot_basins",
    "plot_branch",
    "plot_curves",
    "plot_fixed_points",
    "plot_forecast",
    "plot_gates",
    "plot_phase_portrait",
    "plot_product",
    "plot_profile",
    "plot_seeds",
    "plot_spectrum",
    "plot_success",
    "show",
    "theme",
    "width_on_page",
]
