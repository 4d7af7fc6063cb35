"""The theme leaves no trace, and no figure appears without words."""

import base64
import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from helpers.figures import LINE_STYLES, MARKERS, PALETTE, Table, image_bundle, output, show, theme


@pytest.fixture(autouse=True)
def no_screen():
    before = mpl.get_backend()
    mpl.use("agg")
    yield
    plt.close("all")
    mpl.use(before)


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would receive: a list of (data, metadata)."""
    received = []
    monkeypatch.setattr(
        output, "display", lambda data, metadata=None, raw=False: received.append((data, metadata))
    )
    return received


def test_theme_leaves_rcparams_as_they_were():
    before = mpl.rcParams.copy()
    with theme():
        assert mpl.rcParams["axes.spines.top"] is False
    assert mpl.rcParams == before


def test_theme_leaves_rcparams_after_an_error():
    before = mpl.rcParams.copy()
    with pytest.raises(RuntimeError), theme():
        raise RuntimeError
    assert mpl.rcParams == before


def test_successive_lines_differ_in_colour_and_in_style():
    with theme():
        _, ax = plt.subplots()
        lines = [ax.plot([0, 1])[0] for _ in PALETTE]
    assert len({line.get_color() for line in lines}) == len(PALETTE)
    assert (
        len({str(line._dash_pattern) for line in lines}) == len(LINE_STYLES) == len(MARKERS) == len(PALETTE)
    )


def test_text_colours_contrast_with_white():
    """WCAG 2.1 asks 3 : 1 of graphics; the two lightest colours are for areas, and are left out."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    contrast = {name: 1.05 / (luminance(colour) + 0.05) for name, colour in PALETTE.items()}
    assert min(contrast[name] for name in ("blue", "vermilion", "green", "black", "grey")) >= 3
    assert contrast["grey"] >= 4.5


@pytest.mark.parametrize("alt", ["", "   ", "\n", None, 3])
def test_empty_alt_is_refused(alt, displayed):
    with theme():
        fig, _ = plt.subplots()
    with pytest.raises(ValueError, match="alt must say what the figure shows"):
        show(fig, alt=alt)
    assert displayed == []


def test_alt_is_required():
    with pytest.raises(TypeError, match="alt"):
        show(plt.figure())


def test_alt_stands_in_metadata_plain_text_and_for_the_screen_reader(displayed):
    with theme():
        fig, ax = plt.subplots()
        ax.plot([1, 2])
    show(fig, alt='A line that\n   rises "steeply" & far')
    (data, metadata), (words, _) = displayed
    assert metadata["image/png"]["alt"] == 'A line that rises "steeply" & far'
    assert data["text/plain"] == 'A line that rises "steeply" & far'
    assert 'alt="A line that rises &quot;steeply&quot; &amp; far"' in words["text/html"]


def test_picture_is_stored_once(displayed):
    show(plt.figure(), alt="nothing", caption="Figure 1.1. Nothing.")
    (picture, _), (words, _) = displayed
    assert set(picture) == {"image/png", "text/plain"}
    assert len(words["text/html"]) < 500


def test_caption_shows_its_number_in_bold_as_html_and_as_text(displayed):
    show(plt.figure(), alt="a line", caption="Figure 3.14. A < B,\n    in figure 3.2. Really.")
    _, (words, _) = displayed
    assert words["text/plain"] == "Figure 3.14. A < B, in figure 3.2. Really."
    assert words["text/html"].endswith("<b>Figure 3.14.</b> A &lt; B, in figure 3.2. Really.</p>")


@pytest.mark.parametrize("caption", ["", "  ", 3])
def test_empty_caption_is_refused(caption, displayed):
    with pytest.raises(ValueError, match="caption must say what to see"):
        show(plt.figure(), alt="a line", caption=caption)
    assert displayed == []


def stored(bundle):
    return Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))


@pytest.mark.parametrize(
    ("inches", "width", "height"),
    [
        pytest.param((6.4, 3.2), 980, 490, id="Matplotlib's width fills the column"),
        pytest.param((9.8, 4.0), 980, 400, id="as wide as the column"),
        pytest.param((12.8, 3.2), 980, 245, id="wider"),
        pytest.param((3.2, 3.2), 490, 490, id="half as wide"),
    ],
)
def test_figure_is_as_wide_as_the_column_and_twice_as_fine(inches, width, height, displayed):
    with theme():
        fig, _ = plt.subplots(figsize=inches)
    show(fig, alt="empty axes")
    (data, metadata), _ = displayed
    assert metadata["image/png"]["width"] == width
    assert stored(data).size == (2 * width, 2 * height)
    assert tuple(fig.get_size_inches()) == inches


def test_text_keeps_its_size_however_wide_the_figure(displayed):
    with theme():
        fig, ax = plt.subplots(figsize=(6.4, 3.2))
        words = ax.set_title("x").get_fontsize()
    show(fig, alt="empty axes")
    assert ax.title.get_fontsize() == words
    with theme():
        assert (
            13 <= mpl.rcParams["font.size"] * output.PIXELS_PER_INCH / 72 <= 15
        )  # JupyterLab's prose has 14


def test_few_colours_stay_as_they_were(displayed):
    with theme():
        fig, ax = plt.subplots()
        for row, colour in enumerate(PALETTE.values()):
            ax.barh(row, 1, color=colour)
    show(fig, alt="bars")
    (data, _), _ = displayed
    assert stored(data).mode == "P"
    pixels = np.asarray(stored(data).convert("RGB")).reshape(-1, 3)
    common, counts = np.unique(pixels, axis=0, return_counts=True)
    largest = {tuple(colour) for colour in common[np.argsort(counts)[-9:]]}
    assert largest == {tuple(round(255 * c) for c in to_rgb(colour)) for colour in (*PALETTE.values(), "w")}


def test_show_closes_the_figure_so_that_no_cell_shows_it_twice(displayed):
    fig, _ = plt.subplots()
    show(fig, alt="empty axes")
    assert fig.number not in plt.get_fignums()


def test_bundle_refuses_empty_alt():
    with pytest.raises(ValueError, match="alt must say"):
        image_bundle(b"", "", 100)


def test_table_as_text_and_as_html():
    table = Table(("law", "value"), (("x < y", "1"), ("z", "12")))
    assert repr(table) == "law    value\nx < y  1\nz      12"
    assert "<td" in table._repr_html_() and "x &lt; y" in table._repr_html_()
