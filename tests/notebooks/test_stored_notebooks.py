"""The notebooks as they lie in the repository: what a reader meets on GitHub, before any kernel runs."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from notebook_law import code_cells, is_hidden

from helpers.book import run_seconds
from helpers.figures import caption_bundle, image_bundle

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
EXECUTED = CHAPTERS + sorted((ROOT / "solutions").glob("*.ipynb"))
ALL = EXECUTED + sorted((ROOT / "exercises").glob("*.ipynb"))
ANATOMY = ("You will be able to", "## Summary", "Key terms", "References", "Predict.", "Explain")
LONGEST_CELL, LONGEST_HIDDEN_CELL = 20, 40
ONE_THREAD = "torch.set_num_threads(1)"
LONGEST_RUN = 60.0


def by_name(path):
    return f"{path.parent.name}/{path.stem}"


def read(path):
    return nbformat.read(path, as_version=4)


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


def page_of(notebook):
    """What nbconvert's page shows: the sources of figures, diagrams left out, and words."""
    page = BeautifulSoup(HTMLExporter(embed_images=True).from_notebook_node(notebook)[0], "html.parser")
    images = page.find_all("img")
    words = {image["alt"] for image in images} | {paragraph.get_text() for paragraph in page.find_all("p")}
    figures = [image for image in images if image.get("width") != "1" and not image["src"].endswith(".svg")]
    return [image["src"] for image in figures], words


def code_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def claims_of_literal_true(code):
    """The lines of `claim(text, True, …)`, which no measurement could contradict."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    measured = [
        argument
        for call in calls
        if "claim" in (getattr(call.func, "id", None), getattr(call.func, "attr", None))
        for argument in (*call.args[1:2], *(word.value for word in call.keywords if word.arg == "measured"))
    ]
    return [
        argument.lineno
        for argument in measured
        if isinstance(argument, ast.Constant) and argument.value is True
    ]


@pytest.mark.parametrize("path", EXECUTED, ids=by_name)
def test_executed_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in read(path).cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("path", EXECUTED, ids=by_name)
def test_no_stored_error_and_nothing_on_stderr(path):
    kinds = {(output.output_type, output.get("name")) for output in outputs(read(path))}
    assert not {("error", None), ("stream", "stderr")} & kinds


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_first_cell_is_the_title(path):
    assert read(path).cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_cells_are_short(path):
    lines = {
        cell.id: (len([line for line in cell.source.splitlines() if line.strip()]), is_hidden(cell))
        for cell in code_cells(read(path))
    }
    longest = {False: LONGEST_CELL, True: LONGEST_HIDDEN_CELL}
    assert {cell: count for cell, (count, hidden) in lines.items() if count > longest[hidden]} == {}


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_setup_asks_for_one_thread_once(path):
    """A second thread mostly waits: on a busy machine chapter 03 took 164 s with two, 16 s with one."""
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    assert [source.count(ONE_THREAD) for source in code] == [1] + [0] * (len(code) - 1)


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_no_silenced_warnings_installs_or_magics(path):
    code = code_of(read(path))
    assert re.findall(r"filterwarnings|simplefilter|^\s*[!%]", code, flags=re.MULTILINE) == []


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_every_claim_could_fail(path):
    assert claims_of_literal_true(code_of(read(path))) == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        pytest.param('claim("cannot fail", True)', [1], id="second argument"),
        pytest.param('x = 1\nclaims.claim("cannot fail", measured=True)', [2], id="by keyword"),
        pytest.param('claim(\n    "cannot fail",\n    True,\n)', [3], id="over several lines"),
        pytest.param('claim("can fail", x > 0)\nclaim("too", x, True)\nfit(1, True)', [], id="computed"),
    ],
)
def test_claims_of_the_literal_true_are_found(code, lines):
    assert claims_of_literal_true(code) == lines


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose(read(path)))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_prose_has_no_markup_that_jupyterlab_leaves_raw(path):
    assert re.findall(r"\{(?:term|cite|ref|eq|numref|doc)[:}p`]|\{run_seconds\}", prose(read(path))) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_chapter_has_its_parts(path):
    text = prose(read(path))
    assert [part for part in ANATOMY if part not in text] == []
    assert any("claims_table()" in cell.source for cell in read(path).cells)


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_every_picture_has_words(path):
    notebook = read(path)
    assert pictures(notebook)
    assert all(len(picture.metadata["image/png"]["alt"].split()) >= 8 for picture in pictures(notebook))


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_run_time_is_short_and_as_stated(path):
    notebook = read(path)
    stated = float(re.search(r"Run All takes about (\d+) s", prose(notebook))[1])
    measured = run_seconds(notebook)
    assert measured <= LONGEST_RUN
    assert stated / 2 <= measured <= stated * 1.5


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_html_without_network_shows_every_figure(path):
    """nbconvert's page stands for GitHub's: figures are inside it, with their words, not fetched."""
    notebook = read(path)
    sources, words = page_of(notebook)
    assert len(sources) == len(pictures(notebook))
    assert [source for source in sources if not source.startswith("data:image/png;base64,")] == []
    assert {picture.metadata["image/png"]["alt"] for picture in pictures(notebook)} - words == set()


def test_a_figure_stored_once_is_on_the_page_with_its_words():
    alt = 'A line that rises "steeply" & far'
    data, metadata = image_bundle(b"a picture", alt, 980)
    stored = [
        nbformat.v4.new_output("display_data", data=data, metadata=metadata),
        nbformat.v4.new_output("display_data", data=caption_bundle(alt, "Figure 1.1. A line.")),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=stored)])
    sources, words = page_of(notebook)
    assert len(sources) == 1
    assert {alt, "Figure 1.1. A line."} <= words


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_controls_have_words_where_no_kernel_runs(path):
    widgets = [
        o.data for o in outputs(read(path)) if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]
    assert widgets
    assert all(data["text/plain"].startswith("Controls: ") for data in widgets)
    assert all("Run this cell to move them" in data["text/html"] for data in widgets)


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_key_terms_stand_in_the_glossary(path):
    glossary = (ROOT / "chapters" / "glossary.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", glossary, flags=re.MULTILINE))
    line = re.search(
        r"\*\*Key terms\*\*[^·]* · (.+?)\.\s+The\s+\[glossary\]", prose(read(path)), flags=re.DOTALL
    )[1]
    terms = [re.fullmatch(r"(.+?) (\S+)", term.strip()) for term in line.replace("\n", " ").split("·")]
    assert {term[1]: term[2] for term in terms} == {term[1]: listed.get(term[1]) for term in terms}


@pytest.mark.parametrize("path", CHAPTERS, ids=by_name)
def test_references_stand_in_the_bibliography(path):
    bibliography = (ROOT / "chapters" / "references.bib").read_text(encoding="utf-8")
    text = re.search(r"\*\*References\*\*(.+?)\n\n", prose(read(path)) + "\n\n", flags=re.DOTALL)[1]
    cited = re.findall(r"([A-Z][a-z]+)(?: (?:et al\.|&)[^()]*|, [^()]*)? \((\d{4})\)", text)
    assert cited
    assert [(a, y) for a, y in cited if f"{{{a.lower()}{y}," not in bibliography] == []
