"""Figures, captions and claims on a page of JupyterLab: what is seen, and what a screen reader is told."""

import importlib.util
import shutil

import matplotlib as mpl
import nbformat
import pytest

from helpers.figures import PIXELS_PER_INCH, theme

MISSING = [name for name in ("playwright", "jupyterlab", "ipykernel") if not importlib.util.find_spec(name)]
if not (shutil.which("chromium") or shutil.which("chromium-browser")):
    MISSING.append("chromium")
if MISSING:
    pytest.skip(f"no {', '.join(MISSING)} on this machine", allow_module_level=True)

from jupyter_browser import PATIENCE, READY, open_page, run_notebook, running_lab  # noqa: E402

pytestmark = pytest.mark.browser

CODE = """
import matplotlib.pyplot as plt
from helpers.claims import claim, claims_table, identity
from helpers.figures import show, theme

with theme():
    fig, ax = plt.subplots()
    ax.plot([1, 2])
show(fig, alt="One straight line that rises", caption="Figure 3.1. The line rises, from 1 to 2.")
claim("the slope is {}", -0.4987, -0.5, within=0.03, source="theory")
identity("itself", 1.0, 1.0)
claims_table()
"""
IMAGE = ".jp-RenderedImage img"
WIDTHS = """() => ['.jp-RenderedImage', '.jp-RenderedImage img', '.jp-MarkdownOutput p'].map(
    part => document.querySelector(part).getBoundingClientRect().width)"""
FONT = "() => parseFloat(getComputedStyle(document.querySelector('.jp-MarkdownOutput p')).fontSize)"


def a11y_names(page):
    """The names of all images that the accessibility tree holds."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [node["name"]["value"] for node in nodes if node["role"]["value"] == "image"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A notebook as it is stored, and opened again: its HTML is not trusted, and passes the sanitiser."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "notebooks").mkdir()
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_markdown_cell("Prose. " * 80), nbformat.v4.new_code_cell(CODE)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": python})
    nbformat.write(notebook, folder / "notebooks" / "page.ipynb")
    with running_lab(folder / "notebooks", folder) as address, open_page() as page:
        page.set_viewport_size({"width": 1440, "height": 900})
        run_notebook(page, address, "page.ipynb")
        page.wait_for_selector(".jp-RenderedHTML details", timeout=PATIENCE)
        page.trusted_names = a11y_names(page)
        stored = page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()")
        assert "One straight line" in str(stored)
        for cell in stored["cells"]:
            cell["metadata"].pop("trusted", None)
            cell.pop("attachments", None)
        nbformat.write(nbformat.from_dict(stored), folder / "notebooks" / "stored.ipynb")
        page.goto(address.format(notebook="stored.ipynb"))
        page.wait_for_function(READY, arg="stored.ipynb", timeout=PATIENCE)
        page.wait_for_selector(IMAGE, timeout=PATIENCE)
        yield page


def test_figure_fills_the_text_column_and_is_twice_as_fine(page):
    column, image, prose = page.evaluate(WIDTHS)
    assert 0.97 * prose <= image <= column
    assert page.evaluate(f"() => document.querySelector('{IMAGE}').naturalWidth") == 2 * image


def test_text_in_figures_is_as_large_as_the_prose(page):
    _, image, _ = page.evaluate(WIDTHS)
    with theme():
        points = mpl.rcParams["font.size"]
    on_page = points / 72 * PIXELS_PER_INCH * image / 980
    assert on_page == pytest.approx(page.evaluate(FONT), rel=0.05)


def test_a_screen_reader_gets_the_words(page):
    assert "One straight line that rises" in page.trusted_names
    assert "One straight line that rises" in a11y_names(page)


def test_caption_and_claims_are_seen(page):
    shown = page.locator(".jp-Cell-outputArea").inner_text()
    assert "Figure 3.1. The line rises, from 1 to 2." in shown
    assert page.locator(".jp-RenderedHTML b").first.inner_text() == "Figure 3.1."
    assert "✓ the slope is −0.4987 (theory −0.5, ± 0.03)" in shown
    assert "✓ equal to itself (exactly)" in shown
    assert "1 finding and 1 identity held in this run" in shown
    assert not page.locator(".jp-RenderedHTML details table").first.is_visible()
