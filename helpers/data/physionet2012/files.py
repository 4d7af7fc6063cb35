"""The challenge's files: found on this machine or fetched, and parsed once, with the result in a cache.

In the cache nothing is ever half-written, and what is damaged is found out and made again.
"""

import hashlib
import os
import tempfile
import warnings
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pooch

from helpers.data.physionet2012.parsing import parse_set
from helpers.data.physionet2012.stays import Stays

BASE_URL = "https://physionet.org/files/challenge-2012/1.0.0/"
FOLDER = "physionet2012"
SHA256 = {
    "set-a.tar.gz": "2048357345b41fd73c63f435b0341f1475bccd22836541474fc5d72319a1e99e",
    "set-b.tar.gz": "fee9cc5aac6449c6cce385477a585b9f60e78a3458c958bf694b586f76290f9b",
    "Outcomes-a.txt": "2613ea60ccda29f87571a7d6b09ad130858a8ccd66325bd073365925026883c2",
    "Outcomes-b.txt": "1305f29734da374a809483229a99f33a9230aa8d4fa74b1a2d6ad788136423d5",
}
PARSER_VERSION = 1  # raise it whenever the same files would give other arrays


def cache_folder() -> Path:
    """Folder for downloads and parsed archives: `LIVING_DYNAMICS_CACHE`, else the system's cache."""
    return Path(os.environ.get("LIVING_DYNAMICS_CACHE") or pooch.os_cache("living-dynamics")) / FOLDER


def locate(name: str, root: str | os.PathLike | None, download: bool) -> Path:
    """Find one of the challenge's files in `root`, else around this machine, else at PhysioNet.

    The reader's own files are taken as they are, a changed copy included. Files in the cache and files
    from PhysioNet must have the known SHA-256.

    Raises
    ------
    FileNotFoundError
        If `root` lacks the file; or, without `root`, if it is nowhere and `download` is False.
    ValueError
        If the cached or downloaded file has another SHA-256 than the original.
    ConnectionError
        If PhysioNet cannot be reached.
    """
    if root is not None:
        return _in_root(name, Path(root))
    folder = os.environ.get("LIVING_DYNAMICS_DATA")
    found = _look_in(Path(folder), name) if folder else None
    return found or _in_cache(name, download)


def _look_in(folder: Path, name: str) -> Path | None:
    places = (folder / name, folder / FOLDER / name)
    return next((place for place in places if place.is_file()), None)


def _in_root(name: str, root: Path) -> Path:
    found = _look_in(root, name)
    if found is None:
        raise FileNotFoundError(f"root has no {name}: looked in {root} and {root / FOLDER}")
    return found


def _in_cache(name: str, download: bool) -> Path:
    path = cache_folder() / name
    if path.is_file() and pooch.file_hash(path) == SHA256[name]:
        return path
    if download:
        return _download(name, path.parent)
    if path.is_file():
        raise ValueError(
            f"{path} is not the original (its SHA-256 differs): "
            f"delete it, or call physionet2012 with download=True"
        )
    raise FileNotFoundError(
        f"{name} not found: call physionet2012 with download=True, or save {BASE_URL}{name} in a folder "
        f"and set LIVING_DYNAMICS_DATA to that folder"
    )


def _download(name: str, folder: Path) -> Path:
    url = BASE_URL + name
    try:
        return Path(pooch.retrieve(url, SHA256[name], fname=name, path=folder, progressbar=True))
    except OSError as error:
        raise ConnectionError(
            f"{name} could not be downloaded from {url} ({error}): try again, or save it by hand in {folder}"
        ) from error


def load_set(archive: Path, outcomes: Path) -> Stays:
    """Return one parsed set: from the cache if these very files were parsed before."""
    cached = _cache_path(archive, outcomes)
    if cached.is_file():
        try:
            return _read(cached)
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, RuntimeError, OSError) as error:
            warnings.warn(f"{cached} is damaged ({error}): reading {archive} again", stacklevel=2)
    stays = parse_set(archive, outcomes)
    try:
        _write(cached, stays)
    except OSError as error:
        warnings.warn(
            f"{cached.parent} cannot keep what was parsed ({error}): the next load parses again", stacklevel=2
        )
    return stays


def _cache_path(archive: Path, outcomes: Path) -> Path:
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
