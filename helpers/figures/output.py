"""Put a figure into a notebook, once, together with its caption and its description in words."""

import base64
import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

PIXELS_PER_INCH = 100
"""CSS pixels on the page: ten points of text are 14 of them, as is the prose around."""

COLUMN = 9.8
"""Inches of JupyterLab's text column, on a page of 1440 pixels beside the open file browser."""

FILLS_COLUMN = 6.4
"""Inches from which a figure fills the column: Matplotlib's own width."""

SHARPNESS = 2
"""Pixels per CSS pixel, for dense screens."""

COLOURS = 256

NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""A transparent pixel: JupyterLab drops the words of a stored PNG, but reads those of an HTML image."""


def show(fig: Figure, *, alt: str, caption: str | None = None) -> None:
    """Display a figure with its caption and its alternative text, and close it.

    A figure of 6.4 inches or more fills the column, a narrower one its part of it: the space grows, the text
    does not.

    Parameters
    ----------
    fig : Figure
        A Matplotlib figure; pyplot forgets it, so that no cell shows it twice.
    alt : str
        What the figure shows, for readers who cannot see it: the message, not the list of its parts.
    caption : str, optional
        What to see in it, for all readers; it begins with the number, as in `Figure 3.4. The gradient …`.

    Raises
    ------
    ValueError
        If `alt` is empty: a figure without words is lost on a reader who cannot see it.
    """
    with _at_its_size_on_the_page(fig):
        data, metadata = image_bundle(png_bytes(fig), alt, width_on_page(fig))
        words = caption_bundle(alt, caption)
    plt.close(fig)
    display(data, metadata=metadata, raw=True)
    display(words, raw=True)


def image_bundle(png: bytes, alt: str, width: int) -> tuple[dict[str, str], dict[str, dict]]:
    """A picture and its alternative text as the (data, metadata) of a notebook output.

    The picture is stored once. nbconvert takes the words from the metadata, a terminal the plain text.

    Parameters
    ----------
    png : bytes
        The encoded picture.
    alt : str
        What the picture shows, in words.
    width : int
        Width on the page, in CSS pixels.
    """
    alt = _one_line("alt", alt, "what the figure shows, for readers who cannot see it")
    data = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    return data, {"image/png": {"alt": alt, "width": width}}


def caption_bundle(alt: str, caption: str | None) -> dict[str, str]:
    """The caption as the data of a notebook output below the picture, with the words for a screen reader."""
    words = _one_line("alt", alt, "what the figure shows, for readers who cannot see it")
    unseen = f'<img alt="{html.escape(words)}" width="1" height="1" src="{NOTHING}">'
    if caption is None:
        return {"text/html": unseen, "text/plain": ""}
    caption = _one_line("caption", caption, "what to see in the figure")
    shown = re.sub(r"^(Figure \d+\.\d+\.)", r"<b>\1</b>", html.escape(caption, quote=False))
    return {"text/html": f"<p>{unseen}{shown}</p>", "text/plain": caption}


def png_bytes(fig: Figure) -> bytes:
    """The figure as a PNG, twice as fine as the page, in the 256 colours that stand for it best."""
    buffer, small = io.BytesIO(), io.BytesIO()
    fig.savefig(buffer, format="png", dpi=PIXELS_PER_INCH * SHARPNESS)
    picture = Image.open(buffer).convert("RGB")
    picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    return small.getvalue()


def fit_column(fig: Figure) -> None:
    """Give a figure the size that it has on the page."""
    fig.set_size_inches(fig.get_size_inches() * COLUMN / max(fig.get_figwidth(), FILLS_COLUMN))


def width_on_page(fig: Figure) -> int:
    """Width of a figure that fits the column, in CSS pixels."""
    return round(fig.get_figwidth() * PIXELS_PER_INCH)


@contextmanager
def _at_its_size_on_the_page(fig: Figure) -> Iterator[None]:
    size = fig.get_size_inches()
    try:
        fit_column(fig)
        yield
    finally:
        fig.set_size_inches(size)


def _one_line(name: str, words: str, purpose: str) -> str:
    if not isinstance(words, str) or not words.strip():
        raise ValueError(f"{name} must say {purpose}: got {words!r}")
    return " ".join(words.split())
