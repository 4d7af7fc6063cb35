"""A training run kept on disk after every epoch, to go on from where it was interrupted."""

import os
import pickle
import zipfile
from copy import deepcopy
from dataclasses import astuple
from pathlib import Path

import torch

from helpers.training.global_state import get_random_states, set_random_states
from helpers.training.history import Epoch, Update
from helpers.training.run import Run

VERSION = 1


def save(path: Path, run: Run) -> None:
    """Write beside `path`, then rename: an interruption leaves the older checkpoint whole."""
    content = {
        "version": VERSION,
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "generator": run.generator.get_state(),
        "noise": get_random_states(run.model),
        "done": [astuple(epoch) for epoch in run.epochs],
        "best": run.best_weights,
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def resume(path: Path, run: Run, epochs: int, validated: bool) -> None:
    """Bring `run`, which is to have so many epochs, to where it was when `path` was written.

    Raises
    ------
    ValueError
        If the file is damaged, is no checkpoint, or belongs to another run.
    """
    content = _read(path)
    done = [
        Epoch(tuple(Update(*update) for update in updates), validation_loss)
        for updates, validation_loss in content["done"]
    ]
    if len(done) > epochs:
        raise ValueError(f"checkpoint {path} has {len(done)} epochs already, epochs asks for {epochs}")
    if validated != (done[-1].validation_loss is not None):
        raise ValueError(f"checkpoint {path} was written with{'out' if validated else ''} validation batches")
    before = deepcopy(run.model.state_dict())
    try:
        run.model.load_state_dict(content["model"])
        run.optimiser.load_state_dict(content["optimiser"])
        run.generator.set_state(content["generator"])
        set_random_states(run.model, content["noise"])
    except (RuntimeError, ValueError, KeyError) as error:
        run.model.load_state_dict(before)
        raise ValueError(
            f"checkpoint {path} belongs to another model, optimiser or device: {error}"
        ) from error
    run.epochs, run.best_weights = done, content["best"]


def _read(path: Path) -> dict:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error}): delete it to start afresh") from error
    if damaged:
        raise ValueError(
            f"checkpoint {path} cannot be read ({damaged} is damaged): delete it to start afresh"
        )
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"checkpoint {path} was not written by this version of fit: choose another path")
    return content
