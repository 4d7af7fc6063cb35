"""The book as a reader meets it: JupyterLab in Chromium, chapters run, a slider moved by keyboard."""

import importlib.util
import re
import shutil

import pytest

MISSING = [name for name in ("playwright", "jupyterlab", "ipykernel") if not importlib.util.find_spec(name)]
if not (shutil.which("chromium") or shutil.which("chromium-browser")):
    MISSING.append("chromium")
if MISSING:
    pytest.skip(f"no {', '.join(MISSING)} on this machine", allow_module_level=True)

from jupyter_browser import (  # noqa: E402
    BOOK,
    PATIENCE,
    READY,
    ShownExplorer,
    code_cells,
    front_door,
    open_page,
    run_notebook,
    running_lab,
)

from helpers.reader import update  # noqa: E402

pytestmark = pytest.mark.browser

CHAPTERS_AND_SLIDERS = {
    "00_welcome.ipynb": ["elimination rate"],
    "01_biological_data.ipynb": ["limit"],
    "02_state_space.ipynb": ["process noise"],
    "03_vanilla_rnn.ipynb": ["spectral radius"],
    "04_rnn_dynamics.ipynb": ["weight", "gain"],
    "05_gated_cells.ipynb": ["forget bias"],
    "07_neural_odes.ipynb": ["cooperativity"],
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    update(BOOK, folder / "my")
    return folder


@pytest.fixture(scope="module")
def page(workplace):
    with running_lab(workplace, workplace) as address, open_page() as page:
        page.address = address
        yield page


@pytest.fixture(scope="module")
def first_sight(page):
    """What a reader sees first, before any notebook of another test is opened."""
    page.goto(front_door(page.address))
    page.wait_for_function(READY, arg="my/chapters/00_welcome.ipynb", timeout=PATIENCE)
    contents = page.locator("#table-of-contents")
    contents.get_by_text("The map").wait_for(timeout=10_000)
    return {
        "tabs": page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all_inner_texts(),
        "contents": contents.is_visible(),
        "popups": page.locator(".Toastify__toast").count(),
        "words": page.locator("body").inner_text(),
    }


@pytest.fixture(scope="module", params=CHAPTERS_AND_SLIDERS)
def chapter(request, page, first_sight):
    """The page, with this chapter open and run."""
    run_notebook(page, page.address, f"my/chapters/{request.param}")
    page.slider_labels = CHAPTERS_AND_SLIDERS[request.param]
    return page


@pytest.fixture
def explorers(chapter):
    """Each explorer of the chapter in turn, with one of its sliders."""
    return (ShownExplorer(chapter, label) for label in chapter.slider_labels)


def test_the_first_sight_is_chapter_0_with_its_contents_and_nothing_else(first_sight):
    assert first_sight["tabs"] == ["00_welcome.ipynb"]
    assert first_sight["contents"]
    assert first_sight["popups"] == 0
    assert re.findall(r"Jupyter news|nbgrader|Validate|Assignment", first_sight["words"], re.IGNORECASE) == []


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


def test_a_screen_reader_hears_each_slider_s_name_and_exact_value(explorers):
    for explorer in explorers:
        for key in ("ArrowLeft", "ArrowRight", "Home"):
            explorer.press(key)
            explorer.settled_picture()
            value = explorer.readout().replace("\N{MINUS SIGN}", "-")
            label = explorer.slider.locator(".widget-label").inner_text()
            name, _, unit = label.rstrip("]").partition(" [")
            assert explorer.handle.get_attribute("aria-label") == name
            assert explorer.handle.get_attribute("aria-valuenow") == value
            assert explorer.handle.get_attribute("aria-valuetext") == f"{value} {unit}".strip()
        assert explorer.handle.get_attribute("aria-valuemin") == value
        for handle in explorer.controls.locator("[role=slider], select, .widget-readout").all():
            assert handle.evaluate("e => e.ariaLabel || e.labels?.[0]?.textContent")
        explorer.reset()
        explorer.settled_picture()


def test_keys_on_a_control_are_no_commands_of_the_notebook(explorers, chapter):
    for explorer in explorers:
        cells = chapter.locator(".jp-Cell").count()
        for key in "ddabx":
            explorer.press(key)
        explorer.controls.get_by_role("button", name="Reset").focus()
        chapter.keyboard.type("dd")
        assert chapter.locator(".jp-Cell").count() == cells


def test_the_page_says_that_a_number_can_be_typed_and_it_can(explorers):
    for explorer in explorers:
        assert "typed over" in explorer.controls.inner_text()
        at_start = explorer.settled_picture()
        explorer.type(explorer.handle.get_attribute("aria-valuemax"))
        assert explorer.settled_picture() != at_start
        assert explorer.readout() == explorer.handle.get_attribute("aria-valuemax")
        explorer.reset()
        assert explorer.settled_picture() == at_start


def test_no_setting_moves_what_stands_below(explorers):
    for explorer in explorers:
        heights = set()
        for key in ("Home", "End", "PageDown"):
            explorer.press(key)
            explorer.settled_picture()
            heights.add(explorer.height())
        assert len(heights) == 1
        explorer.reset()
        explorer.settled_picture()


def test_controls_stand_beside_the_picture_where_both_fit_and_else_above(explorers, chapter):
    for explorer in explorers:
        for width, beside in ((1440, True), (900, False)):
            chapter.set_viewport_size({"width": width, "height": 900})
            controls, image = explorer.controls.bounding_box(), explorer.image.bounding_box()
            assert (controls["x"] + controls["width"] <= image["x"]) is beside
            assert (controls["y"] + controls["height"] <= image["y"]) is not beside
        chapter.set_viewport_size({"width": 1280, "height": 800})
