"""The law of the chapters, and the law itself tried on notebooks of a few cells."""

from pathlib import Path

import nbformat
import notebook_law as law
import pytest

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("[0-9][0-9]_*.ipynb"))
OLD_FRAME = ("01", "02", "04", "07")
"""Chapters that have not moved yet: strike them out as they do."""

NEW = [path for path in CHAPTERS if path.name[:2] not in OLD_FRAME]
WELCOME = "00"
"""Teaches no method, and so has few findings."""


def read(path):
    return nbformat.read(path, as_version=4)


def by_name(path):
    return path.stem


LAWS = {
    "cells are hidden in every reader or in none": lambda book, path: law.half_hidden(book),
    "hidden cells only draw": lambda book, path: law.subject_matter_out_of_sight(book),
    "visible cells do not need hidden ones": lambda book, path: law.used_from_out_of_sight(book),
    "few visible lines draw": lambda book, path: law.too_much_drawing(book),
    "figures are numbered": lambda book, path: law.misnumbered_figures(book, int(path.name[:2])),
    "figures in the prose exist": lambda book, path: law.missing_figures(book, all_figures()),
    "pictures are stored once": lambda book, path: law.pictures_stored_twice(book),
    "a name means one thing": lambda book, path: law.names_bound_twice(book),
    "each section asks for a prediction": lambda book, path: law.sections_without_prediction(book),
    "about a dozen findings": lambda book, path: (
        path.name[:2] != WELCOME and law.too_few_or_many_findings(book)
    ),
    "links lead somewhere": law.links_to_nowhere,
    "addresses are well-formed": lambda book, path: law.malformed_addresses(book),
    "the chapters before and after are linked": law.missing_neighbours,
}


def all_figures():
    return {number for path in NEW for number in law.numbered_figures(read(path))}


@pytest.mark.parametrize("path", NEW, ids=by_name)
@pytest.mark.parametrize("breaches", LAWS.values(), ids=LAWS)
def test_chapter_obeys(breaches, path):
    assert not breaches(read(path), path)


def test_chapters_that_have_not_moved_are_chapters():
    assert [
        number for number in OLD_FRAME if not any(path.name.startswith(number) for path in CHAPTERS)
    ] == []


def notebook(*cells):
    """A notebook of sources: prose begins with `#` or `>`, a hidden cell with `%%hidden`."""
    made = []
    for source in cells:
        if source.startswith(("#", ">")):
            made.append(nbformat.v4.new_markdown_cell(source.removeprefix("> ")))
        else:
            made.append(nbformat.v4.new_code_cell(source.removeprefix("%%hidden\n")))
            if source.startswith("%%hidden"):
                made[-1].metadata.update(tags=["hide-input"], jupyter={"source_hidden": True})
    return nbformat.v4.new_notebook(cells=made)


def test_cell_hidden_in_one_reader_only_is_found():
    book = notebook("%%hidden\na()", "b()", "%%hidden\nc()", "d()")
    del book.cells[2].metadata["jupyter"]
    book.cells[3].metadata["jupyter"] = {"source_hidden": True}
    assert law.half_hidden(book) == ["c()", "d()"]


IMPORTS = """import matplotlib.pyplot as plt
import torch
from helpers.claims import claim
from helpers.figures import plot_curves, show, theme
from helpers.odes import solve
"""

DRAWS = """%%hidden
from matplotlib.colors import ListedColormap

shades = ListedColormap(["red", "blue"])
with theme():
    fig, axes = plt.subplots(2)
    for ax, (name, y) in zip(axes, results.items(), strict=True):
        plot_curves(ax, torch.arange(3), {name: y.exp()})
    axes[0].step(range(3), [1, 2, 3])
show(fig, alt="x", caption="Figure 1.1. X.")
"""


def test_hidden_cell_that_only_draws_is_lawful():
    assert law.subject_matter_out_of_sight(notebook(IMPORTS, DRAWS)) == []


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        pytest.param("claim('x', 1 > y)", "calls claim", id="a claim"),
        pytest.param("solution = solve(f, y0, t)", "calls solve", id="a room's function"),
        pytest.param("y = model(x)", "calls model", id="a model"),
        pytest.param(
            "from helpers.odes import solve", "imports helpers.odes.solve", id="an import of a room"
        ),
        pytest.param("loss.backward()", "calls .backward", id="a gradient"),
        pytest.param("optimisers[0].step()", "calls .step", id="training"),
        pytest.param("x = torch.randn(3)", "calls .randn", id="random numbers"),
        pytest.param("def draw(ax, f):\n    ax.plot(f(1))", "calls f", id="computing inside a helper"),
    ],
)
def test_subject_matter_out_of_sight_is_found(source, breach):
    book = notebook(IMPORTS, DRAWS, "%%hidden\n" + source)
    assert law.subject_matter_out_of_sight(book) == [f"{source.splitlines()[0]}: {breach}"]


def test_name_that_a_visible_cell_takes_from_a_hidden_one_is_found():
    book = notebook("a = 1", "%%hidden\nb = 2 * a\nfig = plt.figure()", "print(a, fig)", "print(b)")
    assert law.used_from_out_of_sight(book) == ["print(b): b"]


def test_lines_that_draw_are_counted_as_a_reader_would():
    visible = """x = torch.arange(3)

# a comment
with theme():
    fig, ax = plt.subplots()
    for i in range(3):
        ax.plot(
            x,
        )
    y = 2 * x
show(fig, alt="x")
"""
    assert law.drawing_share(notebook(IMPORTS)) == 0
    assert law.drawing_share(notebook(IMPORTS, DRAWS, visible)) == 7 / (5 + 9)


def test_too_much_drawing_is_found():
    assert law.too_much_drawing(notebook(*["x = 1"] * 10, "ax.plot(x)")) == []
    assert law.too_much_drawing(notebook(*["x = 1"] * 9, "ax.plot(x)")) == [
        "10% of the visible code lines draw"
    ]


def test_figures_out_of_order_and_without_a_caption_are_found():
    book = notebook(
        'show(fig, alt="a", caption="Figure 3.1. Right.")',
        'show(fig, alt="b", caption=f"Figure 3.2. Right, {x}.")\nshow(fig, alt="c")',
        'show(fig, alt="d", caption="Figure 3.5. " "Wrong.")',
        'show(fig, alt="e", caption=words)',
    )
    assert law.misnumbered_figures(book, 3) == [
        "figure 3 has the caption ''",
        "figure 4 has the caption 'Figure 3.5. Wrong.'",
        "figure 5 has the caption ''",
    ]
    assert law.numbered_figures(book) == {"3.1", "3.2", "3.5"}


def test_pictures_stored_twice_are_found():
    book = notebook("one()", "two()")
    for cell, more in zip(
        book.cells, ({}, {"text/html": '<img src="data:image/png;base64,AAAA">'}), strict=True
    ):
        data = {"image/png": "AAAA", "text/plain": "A line"} | more
        cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
    assert law.pictures_stored_twice(book) == ["two()"]


def test_figures_that_do_not_exist_are_found():
    book = notebook(
        "> As figure 3.1 shows, and figures 3.2 and 3.3.", 'show(f, caption="Figure 3.1. See figure 2.7.")'
    )
    assert law.missing_figures(book, {"3.1", "3.2"}) == ["2.7", "3.3"]


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        pytest.param(("a = 1", "a = 2"), ["a"], id="a value"),
        pytest.param(("a, (b, *c) = x", "c: int = 2"), ["c"], id="one of several"),
        pytest.param(("def f(): pass", "f = 2"), ["f"], id="a function"),
        pytest.param(("if x:\n    a = 1", "with x as a:\n    pass"), ["a"], id="inside a block"),
        pytest.param(("print(a := 1)", "class a: pass"), ["a"], id="on the way"),
        pytest.param(("%%hidden\na = 1", "a = 2"), ["a"], id="out of sight"),
        pytest.param(("a = 1\na = 2", "b = 3"), [], id="in one cell"),
        pytest.param(("for i in x:\n    pass", "i = 1"), [], id="the variable of a loop"),
        pytest.param(("b = [i for i in x]", "i = 1"), [], id="inside a list"),
        pytest.param(("def f():\n    a = 1", "a = 2"), [], id="inside a function"),
        pytest.param(("a = 1", "a.b = 2\na[0] = 1\na += 1"), [], id="a part of it, or a sum that grows"),
        pytest.param(
            ("fig, ax = x\n_ = 1", "fig, axes = x\n_, ax = 2, 3"), [], id="figures and what is not needed"
        ),
        pytest.param(("import a", "import a"), [], id="imports"),
    ],
)
def test_names_with_two_meanings_are_found(sources, names):
    assert law.names_bound_twice(notebook(*sources)) == names


def test_sections_without_prompt_and_answer_are_found():
    answer = "\n\n<details><summary>Answer</summary>\nyes\n</details>\n"
    book = notebook(
        "# 3. Title",
        f"## 3.1 Both\n\n**Predict.** Why?{answer}",
        "## 3.2 No answer\n\n**Predict.** Why?",
        "x = 1",
        f"## 3.3 Answer before the question{answer}**Predict.** Why?",
        "## 3.4 In two cells\n\n**Predict.** Why?",
        f"> {answer}",
        "## Summary\n\nnothing to predict",
    )
    assert law.sections_without_prediction(book) == ["3.2 No answer", "3.3 Answer before the question"]


@pytest.mark.parametrize(
    ("text", "held", "lawful"),
    [
        pytest.param("12 findings and 9 identities held in this run\n\nfinding", 12, True, id="a dozen"),
        pytest.param("8 findings held in this run", 8, True, id="findings only"),
        pytest.param("9 identities held in this run", 0, False, id="identities only"),
        pytest.param("17 findings and 1 identity held in this run", 17, False, id="too many"),
        pytest.param("something else", None, False, id="no table"),
    ],
)
def test_findings_are_counted_in_the_stored_table(text, held, lawful):
    book = notebook("claims_table()")
    book.cells[0].outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": text})]
    assert law.findings_held(book) == held
    assert (law.too_few_or_many_findings(book) == []) is lawful


@pytest.fixture
def folder(tmp_path):
    """Chapters 2, 3 and 4, and a glossary."""
    for name, title in (("02_two", "# 2. Two\n\n## 2.1 A `word`"), ("04_four", "# 4. Four")):
        nbformat.write(notebook(title), tmp_path / f"{name}.ipynb")
    nbformat.write(notebook("# 3"), tmp_path / "03_three.ipynb")
    (tmp_path / "glossary.md").write_text("# Glossary: all\n\n```\n# no heading\n```\n", encoding="utf-8")
    (tmp_path / "a(1).svg").write_text("<svg/>")
    return tmp_path


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        pytest.param("[x](02_two.ipynb)", True, id="a chapter"),
        pytest.param("[x](05_five.ipynb)", False, id="no such chapter"),
        pytest.param("[x](02_two.ipynb#2.1-A-word)", True, id="a section"),
        pytest.param("[x](02_two.ipynb#2.1-a-word)", False, id="a section in lower case"),
        pytest.param("[x](#3.1-Here-too)", True, id="a section of this chapter"),
        pytest.param("[x](#3.2)", False, id="no section of this chapter"),
        pytest.param("[x](glossary.md#glossary-all)", True, id="a heading as GitHub makes it"),
        pytest.param("[x](glossary.md#no-heading)", False, id="code is no heading"),
        pytest.param('![x](a(1).svg "title")', True, id="a picture with a title"),
        pytest.param('<img src="b.svg">', False, id="a picture in HTML"),
        pytest.param("[x](https://example.org/y#z)", True, id="elsewhere"),
    ],
)
def test_links_to_nowhere_are_found(link, leads, folder):
    book = notebook(f"# 3. Three\n\n## 3.1 Here too\n\n{link}")
    assert (law.links_to_nowhere(book, folder / "03_three.ipynb") == []) is leads


def test_neighbours_without_a_link_are_found(folder):
    book = notebook(
        "# 3. Three\n\n[previous](02_two.ipynb) · [next](04_four.ipynb)", "> [next](04_four.ipynb#x)"
    )
    assert law.missing_neighbours(book, folder / "03_three.ipynb") == [
        "the last cell does not link to 02_two.ipynb"
    ]


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [
        pytest.param("[x](https://doi.org/10.1371/journal.pcbi.1004990)", True, id="DOI"),
        pytest.param("[x](https://doi.org/10.1016/0167-2789(85)90011-9)", True, id="DOI with brackets"),
        pytest.param("see https://doi.org/10.1162/neco.1997.9.8.1735.", True, id="bare DOI"),
        pytest.param("[x](https://www.example.org)", True, id="https"),
        pytest.param("[x](http://example.org)", False, id="http"),
        pytest.param("[x](https://localhost/x)", False, id="no host"),
        pytest.param("[x](https://dx.doi.org/10.1371/x)", False, id="old DOI host"),
        pytest.param("[x](https://doi.org/1371/x)", False, id="no DOI"),
        pytest.param("[x](doi:10.1371/x)", False, id="DOI without address"),
        pytest.param("see http://example.org", False, id="bare http"),
        pytest.param("[x](02_two.ipynb)", True, id="a relative link"),
    ],
)
def test_malformed_addresses_are_found(text, well_formed):
    assert (law.malformed_addresses(notebook(f"> {text}")) == []) is well_formed
