"""The reader's own copy of the book, in which updates and answers never meet: `python -m helpers.reader`."""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

BOOK = Path(__file__).parents[1]
FOLDERS = ("chapters", "exercises", ".jupyter/workspaces")
EDITIONS = ".editions.json"
"""Which edition of each file a copy was made from: its path, and the digest of its content."""


def main(arguments: list[str] | None = None) -> int:
    """Bring the reader's copy up to what the book holds; the exit status is 1 if a request cannot be met."""
    parser = argparse.ArgumentParser(prog="python -m helpers.reader", description="Make or update your copy.")
    parser.add_argument("--book", type=Path, default=BOOK, metavar="FOLDER")
    parser.add_argument("--copy", type=Path, metavar="FOLDER", help="default: my, in the book's folder")
    parser.add_argument(
        "--fresh", metavar="WHICH", help="replace notebooks: '03 exercises/03' chapter 3 and its exercises"
    )
    options = parser.parse_args(arguments)
    copy = options.copy or options.book / "my"
    if options.fresh is None:
        print(_report(copy, update(options.book, copy)))
        return 0
    try:
        for which in options.fresh.split() or [""]:
            kept = refresh(options.book, copy, which)
            print(f"{which}: as in the book{f'; yours is kept as {kept}' if kept else ''}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def update(book: Path, copy: Path) -> list[Path]:
    """Copy what the reader does not have yet, and say which of the reader's notebooks the book has revised.

    A notebook that is there is never written to. What notebooks link to (pictures, the glossary, the
    references) follows the book unless the reader has changed it.

    Parameters
    ----------
    book, copy : Path
        The folders that hold `chapters` and `exercises`.

    Returns
    -------
    list of Path
        Notebooks, within the folder, whose text in the book is not the one that the copy was made from.
    """
    editions, revised = _read_editions(copy), []
    for name in _files(book):
        here, edition = copy / name, _digest(book / name)
        follows = name.suffix != ".ipynb" and here.exists() and _digest(here) == editions.get(name.as_posix())
        if follows or not here.exists():
            _copy(book / name, here)
            editions[name.as_posix()] = edition
        elif name.suffix == ".ipynb" and edition not in (editions.get(name.as_posix()), _digest(here)):
            revised.append(name)
    _write_editions(copy, editions)
    return revised


def refresh(book: Path, copy: Path, which: str) -> Path | None:
    """Replace one notebook by the book's edition, and keep the reader's under another name.

    Parameters
    ----------
    book, copy : Path
        As for `update`.
    which : str
        The beginning of its name: `03` for a chapter, `exercises/03` for its exercise.

    Returns
    -------
    Path or None
        Where the reader's notebook is kept; None where there was none.

    Raises
    ------
    ValueError
        If not exactly one notebook's name begins so.
    """
    wanted = which if "/" in which else f"chapters/{which}"
    notebooks = [name for name in _files(book) if name.suffix == ".ipynb"]
    found = [name for name in notebooks if name.as_posix().startswith(wanted)]
    if len(found) != 1 or wanted.endswith("/"):
        names = ", ".join(name.with_suffix("").as_posix() for name in found or notebooks)
        raise ValueError(f"CHAPTER must begin the name of one notebook of the book ({names}): got {which!r}")
    here, kept = copy / found[0], None
    if here.exists():
        kept = _free_name(here)
        here.rename(kept)
    _copy(book / found[0], here)
    _write_editions(copy, _read_editions(copy) | {found[0].as_posix(): _digest(here)})
    return kept


def _report(copy: Path, revised: list[Path]) -> str:
    """Say in one line where the copy is, or what in the book is newer."""
    if not revised:
        return f"Your copy of the book is {copy}: what you write there stays yours."
    names = " ".join(map(_handle, revised))
    command = f'make fresh CHAPTER="{names}"' if " " in names else f"make fresh CHAPTER={names}"
    return (
        f"Newer in the book than in {copy}: {names}. To take that over, and keep yours beside it: {command}"
    )


def _handle(name: Path) -> str:
    """Name a notebook as `refresh` understands it."""
    number = name.name[:2]
    return number if name.parts[0] == "chapters" else f"{name.parts[0]}/{number}"


def _files(book: Path) -> Iterator[Path]:
    """Every file that a reader gets, relative to the book."""
    for folder in FOLDERS:
        for path in sorted((book / folder).rglob("*")):
            if path.is_file() and ".ipynb_checkpoints" not in path.parts:
                yield path.relative_to(book)


def _digest(path: Path) -> str:
    """A digest of the content: of a notebook its cells' sources, for running it changes all else."""
    content = path.read_bytes()
    if path.suffix == ".ipynb":
        with suppress(ValueError, KeyError):  # what is no notebook, or not any more, is taken as it is
            cells = json.loads(content)["cells"]
            content = json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in cells]).encode()
    return hashlib.sha256(content).hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole or not at all: half a notebook would be taken for the reader's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def _free_name(notebook: Path) -> Path:
    """A name for today's old edition that no file has yet."""
    stem = f"{notebook.stem}_before_{date.today().isoformat()}"
    names = [f"{stem}.ipynb", *(f"{stem}_{count}.ipynb" for count in range(2, 100))]
    return next(notebook.with_name(name) for name in names if not notebook.with_name(name).exists())


def _read_editions(copy: Path) -> dict[str, str]:
    path = copy / EDITIONS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_editions(copy: Path, editions: dict[str, str]) -> None:
    (copy / EDITIONS).write_text(json.dumps(editions, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
