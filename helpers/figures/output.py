"""Put a figure into a notebook together with its description in words."""

import base64
import html
import io

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

PIXELS_PER_INCH = 100
OVERSAMPLING = 1.5


def png_bytes(fig: Figure) -> bytes:
    """The figure as a PNG, oversampled 1.5 times so that it stays sharp on dense screens."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=PIXELS_PER_INCH * OVERSAMPLING)
    return buffer.getvalue()


def image_bundle(png: bytes, alt: str, width: int) -> tuple[dict[str, str], dict[str, dict]]:
    """A picture and its alternative text as the (data, metadata) of a notebook output.

    The alternative text stands three times: as the `alt` of an HTML image, which JupyterLab and nbconvert
    show; in the PNG's metadata; and as the plain text that a terminal prints.

    Parameters
    ----------
    png : bytes
        The encoded picture.
    alt : str
        What the picture shows, in words.
    width : int
        Width on the page, in CSS pixels.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say what the figure shows, for readers who cannot see it: got {alt!r}")
    alt = " ".join(alt.split())
    encoded = base64.b64encode(png).decode("ascii")
    image = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{encoded}">'
    data = {"image/png": encoded, "text/html": image, "text/plain": alt}
    return data, {"image/png": {"alt": alt, "width": width}}


def show(fig: Figure, *, alt: str) -> None:
    """Display a figure with its alternative text, and close it.

    Parameters
    ----------
    fig : Figure
        A Matplotlib figure; pyplot forgets it, so that no cell shows it twice.
    alt : str
        What the figure shows, in words: the message, not the list of its parts.

    Raises
    ------
    ValueError
        If `alt` is empty: a figure without words is lost on a reader who cannot see it.
    """
    width = round(fig.get_figwidth() * PIXELS_PER_INCH)
    data, metadata = image_bundle(png_bytes(fig), alt, width)
    plt.close(fig)
    display(data, metadata=metadata, raw=True)
