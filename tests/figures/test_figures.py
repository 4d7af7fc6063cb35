"""The theme leaves no trace, and no figure appears without words."""

import base64
import io

import matplotlib as mpl
import matplotlib.image
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

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
    monkeypatch.setattr(output, "display", lambda data, metadata, raw: received.append((data, metadata)))
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


def test_alt_stands_in_metadata_html_and_plain_text(displayed):
    with theme():
        fig, ax = plt.subplots()
        ax.plot([1, 2])
    show(fig, alt='A line that\n   rises "steeply" & far')
    ((data, metadata),) = displayed
    assert metadata["image/png"]["alt"] == 'A line that rises "steeply" & far'
    assert data["text/plain"] == 'A line that rises "steeply" & far'
    assert 'alt="A line that rises &quot;steeply&quot; &amp; far"' in data["text/html"]
    assert data["image/png"] in data["text/html"]


def test_picture_is_the_figure_at_one_and_a_half_times_its_width(displayed):
    with theme():
        fig, _ = plt.subplots(figsize=(4, 2))
    show(fig, alt="empty axes")
    ((data, metadata),) = displayed
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"]["width"] == 400
    assert pixels.shape[:2] == (300, 600)


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
