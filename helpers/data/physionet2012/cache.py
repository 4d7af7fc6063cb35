"""Parsed sets kept on disk: never half-written, and a damaged one is found out and made again."""

import hashlib
import os
import tempfile
import warnings
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pooch

from helpers.data.physionet2012.archive import cache_folder
from helpers.data.physionet2012.parsing import parse_set
from helpers.data.physionet2012.stays import Stays

PARSER_VERSION = 1  # raise it whenever the same files would give other arrays


def load_set(archive: Path, outcomes: Path) -> Stays:
    """Return one parsed set: from the cache if these very files were parsed before."""
    kept = _kept_path(archive, outcomes)
    if kept.is_file():
        try:
            return _read(kept)
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, RuntimeError, OSError) as error:
            warnings.warn(f"{kept} is damaged ({error}): reading {archive} again", stacklevel=2)
    stays = parse_set(archive, outcomes)
    try:
        _write(kept, stays)
    except OSError as error:
        warnings.warn(
            f"{kept.parent} cannot keep what was parsed ({error}): the next load parses again", stacklevel=2
        )
    return stays


def _kept_path(archive: Path, outcomes: Path) -> Path:
    contents = f"{PARSER_VERSION} {pooch.file_hash(archive)} {pooch.file_hash(outcomes)}"
    return cache_folder() / "parsed" / f"{hashlib.sha256(contents.encode()).hexdigest()[:32]}.npz"


def _read(path: Path) -> Stays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Stays(**{field.name: arrays[field.name] for field in fields(Stays)})


def _write(path: Path, stays: Stays) -> None:
    """Write beside `path`, then rename: whoever looks sees all of the file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as beside:
        partial = Path(beside) / path.name
        np.savez(partial, **vars(stays))
        os.replace(partial, path)
