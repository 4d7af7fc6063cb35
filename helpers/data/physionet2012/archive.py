"""Where the challenge's files lie, and how they are fetched when they lie nowhere."""

import os
from pathlib import Path

import pooch

BASE_URL = "https://physionet.org/files/challenge-2012/1.0.0/"
FOLDER = "physionet2012"
SHA256 = {
    "set-a.tar.gz": "2048357345b41fd73c63f435b0341f1475bccd22836541474fc5d72319a1e99e",
    "set-b.tar.gz": "fee9cc5aac6449c6cce385477a585b9f60e78a3458c958bf694b586f76290f9b",
    "Outcomes-a.txt": "2613ea60ccda29f87571a7d6b09ad130858a8ccd66325bd073365925026883c2",
    "Outcomes-b.txt": "1305f29734da374a809483229a99f33a9230aa8d4fa74b1a2d6ad788136423d5",
}


def cache_folder() -> Path:
    """Folder for downloads and parsed archives: `LIVING_DYNAMICS_CACHE`, else the system's cache."""
    return Path(os.environ.get("LIVING_DYNAMICS_CACHE") or pooch.os_cache("living-dynamics")) / FOLDER


def locate(name: str, root: str | os.PathLike | None, download: bool) -> Path:
    """Find one of the challenge's files in `root`, else around this machine, else at PhysioNet.

    Files that the reader keeps are taken as they are, a changed copy included. Files in the cache and files
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
    kept = os.environ.get("LIVING_DYNAMICS_DATA")
    found = _look_in(Path(kept), name) if kept else None
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
