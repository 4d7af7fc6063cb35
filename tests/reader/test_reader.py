"""The reader's copy: made once, never overwritten, brought up to date on request."""

import json
import re
from datetime import date
from pathlib import Path

import nbformat
import pytest

from helpers.reader import main, refresh, update

ROOT = Path(__file__).parents[2]
CHAPTER, EXERCISE = Path("chapters/03_memory.ipynb"), Path("exercises/03_memory.ipynb")


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def text_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


@pytest.fixture
def book(tmp_path):
    folder = tmp_path / "book"
    for name in (CHAPTER, EXERCISE):
        (folder / name).parent.mkdir(parents=True)
        nbformat.write(notebook("first edition"), folder / name)
    (folder / "chapters" / "glossary.md").write_text("old words")
    (folder / "chapters" / ".ipynb_checkpoints").mkdir()
    (folder / "chapters" / ".ipynb_checkpoints" / "03_memory-checkpoint.ipynb").write_text("{}")
    return folder


@pytest.fixture
def copy(tmp_path, book):
    folder = tmp_path / "my"
    assert update(book, folder) == []
    return folder


def publish(book, name=CHAPTER, text="second edition"):
    nbformat.write(notebook(text), book / name)


def test_first_copy_holds_what_the_book_holds(book, copy):
    held = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert held == {".editions.json", CHAPTER.as_posix(), EXERCISE.as_posix(), "chapters/glossary.md"}
    assert (copy / CHAPTER).read_bytes() == (book / CHAPTER).read_bytes()


def test_a_reader_s_notebook_is_never_written_to(book, copy):
    nbformat.write(notebook("my own answer"), copy / CHAPTER)
    before = (copy / CHAPTER).read_bytes()
    publish(book)
    assert update(book, copy) == [CHAPTER]
    assert (copy / CHAPTER).read_bytes() == before


def test_a_notebook_that_nobody_changed_is_not_written_to_either(book, copy):
    before = (copy / EXERCISE).read_bytes()
    publish(book, EXERCISE)
    assert update(book, copy) == [EXERCISE]
    assert (copy / EXERCISE).read_bytes() == before


def test_the_reader_s_own_changes_are_no_news_of_the_book(book, copy):
    nbformat.write(notebook("my own answer"), copy / CHAPTER)
    assert update(book, copy) == []


def test_a_chapter_that_was_only_executed_is_no_newer(book, copy):
    executed = notebook("first edition")
    executed.cells[0].execution_count = 7
    nbformat.write(executed, book / CHAPTER)
    assert update(book, copy) == []


def test_a_new_chapter_is_added(book, copy):
    publish(book, Path("chapters/05_gates.ipynb"))
    assert update(book, copy) == []
    assert text_of(copy / "chapters" / "05_gates.ipynb") == ["second edition"]


def test_what_notebooks_link_to_follows_the_book_until_the_reader_changes_it(book, copy):
    glossary, mine = book / "chapters" / "glossary.md", copy / "chapters" / "glossary.md"
    glossary.write_text("new words")
    update(book, copy)
    assert mine.read_text() == "new words"
    mine.write_text("my words")
    glossary.write_text("newer words")
    assert update(book, copy) == []
    assert mine.read_text() == "my words"


def test_a_broken_notebook_of_the_reader_stops_nothing(book, copy):
    (copy / CHAPTER).write_text("{ half a note")
    publish(book)
    assert update(book, copy) == [CHAPTER]


def test_refresh_takes_the_book_s_edition_and_keeps_the_reader_s(book, copy):
    nbformat.write(notebook("my own answer"), copy / CHAPTER)
    publish(book)
    kept = refresh(book, copy, "03")
    assert kept == copy / "chapters" / f"03_memory_before_{date.today().isoformat()}.ipynb"
    assert text_of(kept) == ["my own answer"]
    assert text_of(copy / CHAPTER) == ["second edition"]
    assert text_of(copy / EXERCISE) == ["first edition"]
    assert update(book, copy) == []


def test_two_refreshes_in_a_day_keep_both(book, copy):
    first, second = refresh(book, copy, "03"), refresh(book, copy, "03")
    assert first != second
    assert first.exists()
    assert second.exists()


def test_an_exercise_is_refreshed_by_its_folder_and_number(book, copy):
    publish(book, EXERCISE)
    assert refresh(book, copy, "exercises/03").parent == copy / "exercises"
    assert text_of(copy / EXERCISE) == ["second edition"]


@pytest.mark.parametrize(
    "which", ["x", "7", "exercises/04"], ids=["no number", "no such chapter", "no such exercise"]
)
def test_refresh_refuses_what_names_no_notebook(book, copy, which):
    with pytest.raises(ValueError, match=r"CHAPTER must begin the name of one notebook .*: got '"):
        refresh(book, copy, which)


def test_the_command_says_in_one_line_what_is_newer_and_how_to_get_it(book, copy, capsys):
    folders = ["--book", str(book), "--copy", str(copy)]
    assert main(folders) == 0
    assert "what you write there stays yours" in capsys.readouterr().out
    publish(book)
    publish(book, EXERCISE)
    assert main(folders) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith('make fresh CHAPTER="03 exercises/03"')
    assert main([*folders, "--fresh", "03 exercises/03"]) == 0
    assert capsys.readouterr().out.count("yours is kept as") == 2
    assert main([*folders, "--fresh", ""]) == 1
    assert "got ''" in capsys.readouterr().err
    assert main([*folders, "--fresh", "33"]) == 1
    assert "got '33'" in capsys.readouterr().err


def test_links_of_the_real_book_lead_somewhere_in_the_copy(tmp_path):
    update(ROOT, tmp_path)
    broken = []
    for path in sorted(tmp_path.rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        targets = re.findall(r"(?:\]\(|src=\")(?!https?:|#|data:)([^)#\"]+)", prose)
        broken += [(path.name, target) for target in targets if not (path.parent / target).exists()]
    assert broken == []
