"""Making the exercises from their solutions, with nbgrader's own generation."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbformat import NotebookNode
from nbgrader.apps import NbGraderAPI

from helpers.course.configuration import course_configuration
from helpers.course.fingerprint import is_untouched, sign


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
    sign(exercise)
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
    if path.exists() and not force and not _may_replace(path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    nbformat.write(exercise, partial)
    os.replace(partial, path)
    return True


def _may_replace(path: Path) -> bool:
    try:
        return is_untouched(nbformat.read(path, as_version=4))
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError):
        return False
