"""The book about itself: what it runs on, and how long its chapters take."""

import json
import os
import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from helpers.figures import Table

ROOT = Path(__file__).parents[1]
READING_SPEED = 200
"""Words a minute, for prose with formulas."""

SECONDS_PER_CODE_CELL = 30
_PACKAGES = ("torch", "numpy", "matplotlib", "ipywidgets", "jupyterlab")


def machine_check() -> Table:
    """What this kernel runs on, beside the versions that this edition was executed with."""
    pinned = _pinned_versions()
    rows = [("Python", platform.python_version(), "3.11 or newer")]
    rows += [(name, _installed_version(name), pinned.get(name, "")) for name in _PACKAGES]
    rows += [("processor", f"{platform.machine()}, {os.cpu_count()} cores", "2 cores are enough")]
    rows += [("GPU", _gpu(), "not needed; used by your own runs if present")]
    return Table(("", "this machine", "this edition"), tuple(rows))


def chapter_map(folder: Path = ROOT / "chapters") -> Table:
    """The written chapters with their reading time and the run time measured when they were last executed."""
    rows = [_map_row(path) for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))]
    return Table(("chapter", "code cells", "reading", "Run All"), tuple(rows))


def run_seconds(notebook: dict) -> float | None:
    """Seconds from the first cell's start to the last cell's end, as stored when it was executed."""
    stamps = [
        datetime.fromisoformat(cell["metadata"]["execution"][event].replace("Z", "+00:00"))
        for cell in notebook["cells"]
        for event in ("iopub.execute_input", "shell.execute_reply")
        if event in cell["metadata"].get("execution", {})
    ]
    return (max(stamps) - min(stamps)).total_seconds() if stamps else None


def reading_minutes(notebook: dict) -> int:
    """Minutes to read the prose at 200 words a minute and each code cell in half a minute."""
    prose = [_source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    words = sum(len(text.split()) for text in prose)
    code_cells = sum(cell["cell_type"] == "code" for cell in notebook["cells"])
    return round(words / READING_SPEED + code_cells * SECONDS_PER_CODE_CELL / 60)


def _map_row(path: Path) -> tuple[str, ...]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    title = _source(notebook["cells"][0]).splitlines()[0].lstrip("# ")
    seconds = run_seconds(notebook)
    return (
        title,
        str(sum(cell["cell_type"] == "code" for cell in notebook["cells"])),
        f"{reading_minutes(notebook)} min",
        "not measured yet" if seconds is None else f"{max(1, round(seconds))} s",
    )


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _pinned_versions() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return dict(line.split("==") for line in lines)


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none found: everything runs on the CPU"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
