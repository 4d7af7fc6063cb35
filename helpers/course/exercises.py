"""Exercises made from their solutions by nbgrader; a student's work is never overwritten unasked."""

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import ClearHiddenTests, GetGrades
from traitlets.config import Config

STUB = "# YOUR CODE HERE\n..."  # runs, so that Run All reaches the end of an untouched exercise
METADATA_KEY = "living_dynamics"


def main(arguments: list[str] | None = None) -> int:
    """Make the exercises; the exit status is 1 if a file that a student has changed was left alone."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.course", description="Make exercises from solutions."
    )
    parser.add_argument("--solutions", type=Path, default=Path("solutions"), metavar="FOLDER")
    parser.add_argument("--exercises", type=Path, default=Path("exercises"), metavar="FOLDER")
    parser.add_argument(
        "--force", action="store_true", help="replace exercises that a student has changed, too"
    )
    options = parser.parse_args(arguments)
    solutions = sorted(options.solutions.glob("*.ipynb"))
    if not solutions:
        parser.error(f"no solutions in {options.solutions.resolve()}: run this in the book's folder")
    left_alone = 0
    for solution in solutions:
        path = options.exercises / solution.name
        written = write(generate(solution), path, force=options.force)
        left_alone += not written
        print(
            f"{path}: made from {solution}"
            if written
            else f"{path}: changed since it was made; left as it is"
        )
    if left_alone:
        print("Answers are never overwritten unasked: move the file away, or use --force.", file=sys.stderr)
    return int(left_alone > 0)


def course_configuration(root: Path) -> Config:
    """nbgrader's settings for a course in the folder `root`, which also holds its database.

    A solution becomes a stub that runs. Feedback keeps what the hidden tests found and drops their source,
    which nbgrader's own feedback shows.
    """
    config = Config()
    config.CourseDirectory.root = str(root.resolve())
    config.ClearSolutions.code_stub = {"python": STUB}
    config.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests, CSSHTMLHeaderPreprocessor]
    return config


def generate(solution: Path) -> NotebookNode:
    """The exercise that belongs to a solution, made in a temporary course and signed.

    Raises
    ------
    ValueError
        If nbgrader refuses the solution; the message carries nbgrader's log.
    """
    assignment = solution.stem
    with TemporaryDirectory() as folder:
        source = Path(folder, "source", assignment, solution.name)
        source.parent.mkdir(parents=True)
        shutil.copy(solution, source)
        config = course_configuration(Path(folder))
        # As nbgrader's --no-db: nobody is graded here, and its database needs alembic on the PATH.
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
        result = NbGraderAPI(config=config).generate_assignment(assignment)
        if not result["success"]:
            raise ValueError(f"nbgrader made no exercise from {solution}:\n{result['log']}")
        exercise = nbformat.read(Path(folder, "release", assignment, solution.name), as_version=4)
    exercise.metadata.pop("widgets", None)  # the sliders' state, whose outputs are cleared
    _sign(exercise)
    return exercise


def write(exercise: NotebookNode, path: Path, *, force: bool = False) -> bool:
    """Write an exercise, unless the file there holds a student's work; says whether it was written.

    A file whose content differs from what was once generated is left as it is, byte for byte, and so is one
    that cannot be read. A file that was only executed is replaced: its outputs come back with Run All.

    Parameters
    ----------
    exercise : NotebookNode
        The generated exercise.
    path : Path
        Where it goes.
    force : bool
        Replace a student's work too.
    """
    if path.exists() and not force and not _is_replaceable(path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    nbformat.write(exercise, partial)
    os.replace(partial, path)
    return True


def _fingerprint(notebook: NotebookNode) -> str:
    """A digest of the notebook's content: each cell's type, source and grading metadata.

    Outputs, execution counts, the kernel's version and empty cells are not content: running the notebook
    changes them.
    """
    content = [
        (cell.cell_type, cell.source, cell.metadata.get("nbgrader"))
        for cell in notebook.cells
        if cell.source.strip()
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sign(notebook: NotebookNode) -> None:
    """Store the fingerprint in the notebook's metadata."""
    notebook.metadata[METADATA_KEY] = {"content": _fingerprint(notebook)}


def _is_untouched(notebook: NotebookNode) -> bool:
    """Whether the content still has the fingerprint it was signed with; an unsigned notebook has not."""
    return notebook.metadata.get(METADATA_KEY, {}).get("content") == _fingerprint(notebook)


def _is_replaceable(path: Path) -> bool:
    try:
        return _is_untouched(nbformat.read(path, as_version=4))
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError):
        return False
