"""Exercises are what nbgrader makes of the solutions, and a student's work is never overwritten unasked."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.course import generate, main

BOOK = Path(__file__).parents[2]
SOLUTIONS = sorted((BOOK / "solutions").glob("*.ipynb"))


@pytest.fixture
def solution(tmp_path):
    """A solution with one exercise in it, in a folder of its own."""
    marked = {"grade": False, "grade_id": "one", "locked": False, "schema_version": 3, "solution": True}
    source = "def one():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    cells = [
        new_markdown_cell("# One", id="title"),
        new_code_cell(source, id="one", metadata={"nbgrader": marked | {"task": False}}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "solutions" / "01_one.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def make(solution, tmp_path):
    """Run the command on that folder; returns its exit status."""
    folders = ["--solutions", str(solution.parent), "--exercises", str(tmp_path / "exercises")]
    return lambda *options: main([*folders, *options])


@pytest.fixture
def exercise(make, tmp_path):
    """The exercise made from that solution."""
    assert make() == 0
    return tmp_path / "exercises" / "01_one.ipynb"


def edit(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)
    return path.read_bytes()


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.name)
def test_committed_exercises_are_what_their_solutions_make(path, tmp_path):
    assert main(["--solutions", str(_alone(path, tmp_path)), "--exercises", str(tmp_path / "made")]) == 0
    made, committed = tmp_path / "made" / path.name, BOOK / "exercises" / path.name
    assert made.read_bytes() == committed.read_bytes(), "run `make course`, then commit exercises/"


def _alone(path, folder):
    alone = folder / "alone"
    alone.mkdir()
    shutil.copy(path, alone)
    return alone


def test_every_exercise_has_a_solution():
    exercises = {path.name for path in (BOOK / "exercises").glob("*.ipynb")}
    assert exercises == {path.name for path in SOLUTIONS}
    assert exercises


def test_a_solution_becomes_a_stub_that_runs(exercise):
    source = nbformat.read(exercise, as_version=4).cells[1].source
    assert source == "def one():\n    # YOUR CODE HERE\n    ..."
    scope = {}
    exec(source, scope)
    assert scope["one"]() is None


def test_sliders_leave_nothing_behind_in_an_exercise(solution, make, tmp_path):
    state = {
        "application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2, "version_minor": 0}
    }
    edit(solution, lambda notebook: notebook.metadata.update(widgets=state))
    assert make() == 0
    assert "widgets" not in nbformat.read(tmp_path / "exercises" / "01_one.ipynb", as_version=4).metadata


def test_making_twice_gives_the_same_bytes(make, exercise):
    once = exercise.read_bytes()
    assert make() == 0
    assert exercise.read_bytes() == once


def test_a_changed_answer_is_left_alone_and_named(make, exercise, capsys):
    def answer(notebook):
        notebook.cells[1].source = "def one():\n    return 1"

    changed = edit(exercise, answer)
    assert make() == 1
    assert exercise.read_bytes() == changed
    printed = capsys.readouterr()
    assert f"{exercise}: changed since it was made; left as it is" in printed.out
    assert "never overwritten unasked" in printed.err


def test_an_added_note_is_a_change(make, exercise):
    changed = edit(exercise, lambda notebook: notebook.cells.append(new_markdown_cell("my note")))
    assert make() == 1
    assert exercise.read_bytes() == changed


def test_force_replaces_a_changed_answer(make, exercise):
    made = exercise.read_bytes()
    edit(exercise, lambda notebook: notebook.cells.append(new_markdown_cell("my note")))
    assert make("--force") == 0
    assert exercise.read_bytes() == made


def test_running_an_exercise_is_not_a_change(make, exercise):
    made = exercise.read_bytes()

    def run(notebook):
        notebook.cells[1].execution_count = 7
        notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="hello")]
        notebook.cells[1].metadata["trusted"] = True
        notebook.metadata["language_info"] = {"name": "python", "version": "3.14.1"}
        notebook.cells.append(new_code_cell(""))  # JupyterLab adds one after the last cell that is run

    assert edit(exercise, run) != made
    assert make() == 0
    assert exercise.read_bytes() == made


def test_a_new_edition_replaces_an_untouched_exercise_and_not_a_changed_one(make, exercise, solution):
    made = exercise.read_bytes()
    edit(solution, lambda notebook: notebook.cells.append(new_markdown_cell("A second edition.")))
    assert make() == 0
    assert b"second edition" in exercise.read_bytes()
    exercise.write_bytes(made)
    changed = edit(exercise, lambda notebook: notebook.cells.append(new_markdown_cell("my note")))
    assert make() == 1
    assert exercise.read_bytes() == changed


@pytest.mark.parametrize(
    "content", ["", "not a notebook", "[]", '{"cells": []}', '{"metadata": {}, "nbformat": 4}'], ids=repr
)
def test_a_file_that_is_no_signed_notebook_is_left_alone(make, exercise, content):
    exercise.write_text(content)
    assert make() == 1
    assert exercise.read_text() == content


def test_nothing_else_is_left_behind(exercise):
    assert [path.name for path in exercise.parent.iterdir()] == [exercise.name]


def test_a_solution_that_nbgrader_refuses_is_named(solution):
    edit(solution, lambda notebook: notebook.cells.append(nbformat.NotebookNode(notebook.cells[1], id="two")))
    with pytest.raises(ValueError, match=r"nbgrader made no exercise from .*01_one\.ipynb:(.|\n)*"):
        generate(solution)


def test_a_folder_without_solutions_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--solutions", str(tmp_path)])
    assert f"no solutions in {tmp_path}: run this in the book's folder" in capsys.readouterr().err
