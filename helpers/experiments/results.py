"""What an experiment found, and where, when and with what: one JSON file each."""

import datetime
import json
import os
import platform
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

INNERMOST = re.compile(r"[\[{][^\[\]{}\"]*(?:\"[^\"]*\"[^\[\]{}\"]*)*[\]}]")
"""A list or object that holds no other."""

FOLDER = files("helpers.experiments") / "results"


def load_results(name: str) -> dict[str, Any]:
    """Return what an experiment found when it was last run and committed.

    Parameters
    ----------
    name : str
        Name of the experiment's module.

    Returns
    -------
    dict
        `settings`, `run` (date, versions, processor, threads, seconds) and `results`.

    Raises
    ------
    ValueError
        If there is none of that name; the message names those there are.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(each.name.removesuffix(".json") for each in FOLDER.iterdir()))
        raise ValueError(f"name must be that of an experiment with results ({known}): got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))


def write_results(
    name: str, settings: dict, results: Any, seconds: float, folder: Path | None = None
) -> Path:
    """Write what an experiment found, with all that is needed to run it again.

    Parameters
    ----------
    name : str
        Name of the experiment's module.
    settings : dict
        Sizes, seeds, budgets, grids: whatever the results depend on.
    results : Any
        Of dicts, lists, numbers and strings.
    seconds : float
        How long it took.
    folder : Path, optional
        Left out, the one that `load_results` reads.

    Returns
    -------
    Path
        Of the file.
    """
    run = {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 1),
    }
    path = Path(str(FOLDER)) / f"{name}.json" if folder is None else Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"experiment": name, "settings": settings, "run": run, "results": results}
    path.write_text(to_json(content) + "\n", encoding="utf-8")
    return path


def to_json(content: Any) -> str:
    """Indented, but for what holds no further list or object: that stands in one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return INNERMOST.sub(lambda found: " ".join(found[0].split()), text)
