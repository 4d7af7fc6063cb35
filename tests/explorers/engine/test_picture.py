import gc
import io
import weakref

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from helpers.explorers import dose, gain, gradients, kalman, missingness, neuron, toggle, valve
from helpers.explorers.engine import BlittedFigure
from helpers.explorers.engine.picture import encode_png

EXPLORERS = [dose, missingness, kalman, gradients, neuron, gain, toggle, valve]


def by_name(explorer):
    return explorer.__name__.rpartition(".")[2]


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def defaults_of(explorer):
    return {control.name: control.value for control in explorer.CONTROLS}


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
def test_another_library_reads_back_every_pixel(pixels):
    picture = Image.open(io.BytesIO(encode_png(pixels)))
    picture.verify()
    np.testing.assert_array_equal(pixels_of(encode_png(pixels)), pixels)


@pytest.mark.parametrize("explorer", EXPLORERS, ids=by_name)
def test_an_area_without_an_edge_takes_no_dashes_from_the_cycle(explorer):
    """Matplotlib 3.10 refuses to draw dashes of a line without width."""
    areas = [area for axes in explorer.Picture().figure.axes for area in axes.patches]
    assert {area.get_linestyle() for area in areas if area.get_linewidth() == 0} <= {"-", "solid"}


@pytest.mark.parametrize("explorer", EXPLORERS, ids=by_name)
def test_blitted_picture_is_the_one_that_a_full_draw_gives(explorer):
    picture = explorer.Picture()
    blitted = BlittedFigure(picture.figure, picture.moving)
    corner = {control.name: control.extremes[-1] for control in explorer.CONTROLS}
    picture.draw(explorer.model(**corner))
    blitted.png()
    picture.draw(explorer.model(**defaults_of(explorer)))
    moved_back = pixels_of(blitted.png()).astype(int)
    for artist in picture.moving:
        artist.set_animated(False)
    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    redrawn = np.asarray(canvas.buffer_rgba()).astype(int)
    differing = (np.abs(moved_back - redrawn).max(axis=2) > 64).mean()
    assert differing < 0.005  # the axes' frame now lies below the moving artists rather than above them


@pytest.mark.parametrize("explorer", EXPLORERS, ids=by_name)
def test_pictures_leave_nothing_behind(explorer):
    settings = dict(mpl.rcParams)
    picture = explorer.Picture()
    BlittedFigure(picture.figure, picture.moving).png()
    figure = weakref.ref(picture.figure)
    del picture
    gc.collect()
    assert figure() is None
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("explorer", EXPLORERS, ids=by_name)
def test_no_axis_calls_a_plain_number_s_unit_one(explorer):
    axes = explorer.Picture().figure.axes
    labels = [label for part in axes for label in (part.get_xlabel(), part.get_ylabel())]
    labels += [control.label for control in explorer.CONTROLS]
    assert [label for label in labels if "[1]" in label] == []


@pytest.mark.parametrize("explorer", EXPLORERS, ids=by_name)
def test_at_the_start_no_mark_of_settings_covers_a_word(explorer):
    picture = explorer.Picture()
    picture.draw(explorer.model(**defaults_of(explorer)))
    FigureCanvasAgg(picture.figure).draw()
    for axes in picture.figure.axes:
        marks = [line for line in axes.get_lines() if line.get_marker() == "P"]
        for mark in marks:
            radius = mark.get_markersize() / 72 * picture.figure.dpi / 2
            x, y = axes.transData.transform(mark.get_xydata()[0])
            for words in axes.texts:
                assert not words.get_window_extent().padded(1.5 * radius).contains(x, y), words.get_text()
