"""What the book says of itself and of the machine."""

import json

import nbformat
import pytest
import torch

from helpers.book import chapter_map, machine_check, reading_minutes, run_seconds


def stamped(start, end):
    stamps = {"iopub.execute_input": start, "shell.execute_reply": end}
    return nbformat.v4.new_code_cell("1", metadata={"execution": stamps})


@pytest.fixture
def notebook():
    title = nbformat.v4.new_markdown_cell("# 3. A title & more\n\n" + "word " * 395)
    first = stamped("2026-01-01T10:00:00.000000Z", "2026-01-01T10:00:02.000000Z")
    second = stamped("2026-01-01T10:00:02.000000+00:00", "2026-01-01T10:00:07.500000+00:00")
    return nbformat.v4.new_notebook(cells=[title, first, second])


def test_run_time_spans_the_first_to_the_last_cell(notebook):
    assert run_seconds(notebook) == 7.5


def test_run_time_is_unknown_before_execution():
    assert run_seconds(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])) is None


def test_reading_time_counts_words_and_code_cells(notebook):
    assert reading_minutes(notebook) == 3  # 400 words at 200 a minute, and two cells of half a minute


def test_map_lists_chapters_in_order(notebook, tmp_path):
    (tmp_path / "03_title.ipynb").write_text(json.dumps(notebook))
    unexecuted = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Welcome")])
    (tmp_path / "00_welcome.ipynb").write_text(json.dumps(unexecuted))
    (tmp_path / "scratch.ipynb").write_text("not a chapter")
    assert chapter_map(tmp_path).rows == (
        ("Welcome", "0", "0 min", "not measured yet"),
        ("3. A title & more", "2", "3 min", "8 s"),
    )


def test_machine_check_names_this_kernel():
    rows = {name: (here, edition) for name, here, edition in machine_check().rows}
    assert rows["torch"][0] == torch.__version__
    assert rows["torch"][1] == "2.13.0"
    assert ("none found" in rows["GPU"][0]) is not torch.cuda.is_available()
