"""The challenge's outcome table: one row per stay."""

from pathlib import Path

import numpy as np

from helpers.data.physionet2012.stays import OUTCOMES

HEADER = ",".join(("RecordID", *OUTCOMES))
DIED = OUTCOMES.index("In-hospital_death")


def read_outcomes(path: Path, record_id: np.ndarray, archive: Path) -> np.ndarray:
    """Read the outcomes (N, 5) of the stays `record_id` (N,), which `archive` holds.

    Raises
    ------
    ValueError
        Naming the line that cannot be read, or the stay or the row that stands alone.
    """
    header, *lines = path.read_text("ascii", errors="replace").splitlines() or [""]
    if header != HEADER:
        raise ValueError(f"{path}, line 1: expected the header {HEADER}: got {header!r}")
    row_of, stays = {}, set(record_id.tolist())
    for number, line in enumerate(lines, start=2):
        stay, *outcomes = _integers(f"{path}, line {number}", line)
        if stay in row_of:
            raise ValueError(f"{path}, line {number}: a second row for stay {stay}")
        if stay not in stays:
            raise ValueError(f"{path}, line {number}: stay {stay} is not in {archive}")
        row_of[stay] = outcomes
    for stay in record_id.tolist():
        if stay not in row_of:
            raise ValueError(f"{path} has no row for stay {stay} of {archive}")
    return np.array([row_of[stay] for stay in record_id.tolist()], dtype=np.int64)


def _integers(place: str, line: str) -> list[int]:
    """Read one row, the stay's identifier first."""
    try:
        numbers = [int(field) for field in line.split(",")]
    except ValueError:
        raise ValueError(f"{place}: expected whole numbers: got {line!r}") from None
    if len(numbers) != 1 + len(OUTCOMES):
        raise ValueError(f"{place}: expected {HEADER}: got {line!r}")
    if numbers[1 + DIED] not in (0, 1):
        raise ValueError(f"{place}: {OUTCOMES[DIED]} must be 0 or 1: got {numbers[1 + DIED]}")
    return numbers
