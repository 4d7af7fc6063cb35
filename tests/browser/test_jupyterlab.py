"""The book as a reader meets it: JupyterLab in Chromium, chapters run, a slider moved by keyboard."""

import importlib.util
import shutil
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"
MISSING = [name for name in ("playwright", "jupyterlab", "ipykernel") if not importlib.util.find_spec(name)]
if not (shutil.which("chromium") or shutil.which("chromium-browser")):
    MISSING.append("chromium")
if MISSING:
    pytest.skip(f"no {', '.join(MISSING)} on this machine", allow_module_level=True)

from jupyter_browser import ShownExplorer, code_cells, open_page, run_notebook, running_lab  # noqa: E402

pytestmark = pytest.mark.browser

CHAPTERS_AND_SLIDERS = {
    "00_welcome.ipynb": ["elimination rate"],
    "01_biological_data.ipynb": ["limit"],
    "02_state_space.ipynb": ["process noise"],
    "03_vanilla_rnn.ipynb": ["spectral radius"],
    "04_rnn_dynamics.ipynb": ["weight", "gain"],
    "07_neural_odes.ipynb": ["cooperativity"],
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(CHAPTERS, folder / "chapters")
    return folder


@pytest.fixture(scope="module")
def page(workplace):
    with running_lab(workplace / "chapters", workplace) as address, open_page() as page:
        page.address = address
        yield page


@pytest.fixture(scope="module", params=CHAPTERS_AND_SLIDERS)
def chapter(request, page):
    """The page, with this chapter open and run."""
    run_notebook(page, page.address, request.param)
    page.slider_labels = CHAPTERS_AND_SLIDERS[request.param]
    return page


@pytest.fixture
def explorers(chapter):
    """Each explorer of the chapter in turn, with one of its sliders."""
    return (ShownExplorer(chapter, label) for label in chapter.slider_labels)


def test_run_all_ends_without_an_error(chapter):
    cells = code_cells(chapter)
    failures = [
        (cell["source"], output["evalue"])
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
    assert failures == []
    assert all(cell["execution_count"] for cell in cells)


def test_keys_move_the_picture_and_reset_brings_it_back(explorers):
    for explorer in explorers:
        at_start, value_at_start = explorer.settled_picture(), explorer.readout()
        explorer.press("ArrowRight", times=3)
        assert explorer.settled_picture() != at_start
        assert explorer.readout() != value_at_start
        explorer.reset()
        assert explorer.settled_picture() == at_start
        assert explorer.readout() == value_at_start


def test_forty_fast_moves_end_on_the_picture_of_the_last(explorers):
    for explorer in explorers:
        explorer.press("ArrowLeft", times=20)
        explorer.press("ArrowRight", times=20)
        explorer.press("ArrowLeft")
        after_the_drag, value = explorer.settled_picture(), explorer.readout()
        explorer.press("ArrowRight")
        assert explorer.settled_picture() != after_the_drag
        explorer.press("ArrowLeft")
        assert explorer.settled_picture() == after_the_drag
        assert explorer.readout() == value
        explorer.reset()
        explorer.settled_picture()
