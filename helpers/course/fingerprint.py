"""Telling whether a student has worked in an exercise since it was made."""

import hashlib
import json

from nbformat import NotebookNode

KEY = "living_dynamics"


def fingerprint(notebook: NotebookNode) -> str:
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


def sign(notebook: NotebookNode) -> None:
    """Store the fingerprint in the notebook's metadata."""
    notebook.metadata[KEY] = {"content": fingerprint(notebook)}


def is_untouched(notebook: NotebookNode) -> bool:
    """Whether the content still has the fingerprint it was signed with; an unsigned notebook has not."""
    return notebook.metadata.get(KEY, {}).get("content") == fingerprint(notebook)
