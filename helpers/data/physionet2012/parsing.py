"""The challenge's text turned into arrays: an archive with one file per stay, and a table of outcomes."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from helpers.data.physionet2012.stays import NOT_RECORDED, OUTCOMES, VARIABLES, Stays

HOURS = 48
MINUTES = HOURS * 60 + 1  # both ends count: 00:00 to 48:00
MINUTE_OF = {f"{minute // 60:02d}:{minute % 60:02d}": minute for minute in range(MINUTES)}
ADMISSION_PARAMETERS = ("RecordID", "Age", "Gender", "Height", "ICUType")  # once a stay, at 00:00
CODE_OF = {name: code for code, name in enumerate([*VARIABLES, *ADMISSION_PARAMETERS])}
STAY_HEADER = "Time,Parameter,Value"
OUTCOMES_HEADER = ",".join(("RecordID", *OUTCOMES))
DEATH_COLUMN = OUTCOMES.index("In-hospital_death")
END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, eq=False)
class Stay:
    """One stay: who, and the rows of the series as they were written."""

    record_id: int
    descriptors: list[float]
    minute: np.ndarray  # (rows,)
    variable: np.ndarray  # (rows,)
    value: np.ndarray  # (rows,)


def parse_set(archive: Path, outcomes: Path) -> Stays:
    """Read one set from its two files, in order of record identifier.

    Raises
    ------
    ValueError
        Naming file and line of whatever is not as the challenge describes it.
    """
    stays = sorted((parse_stay(*member) for member in members(archive)), key=lambda stay: stay.record_id)
    record_id = np.array([stay.record_id for stay in stays], dtype=np.int64)
    _check_distinct(record_id, archive)
    descriptors = np.array([stay.descriptors for stay in stays], dtype=np.float32)
    recorded = descriptors != NOT_RECORDED
    return Stays(
        record_id=record_id,
        descriptors=np.where(recorded, descriptors, np.float32(0)),
        descriptor_mask=recorded,
        outcomes=read_outcomes(outcomes, record_id, archive),
        **_series(stays),
    )


def members(archive: Path) -> Iterator[tuple[str, str]]:
    """Yield each stay's place, for messages, and its text."""
    try:
        content = gzip.decompress(archive.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            files = [(entry.name, tar.extractfile(entry).read()) for entry in tar if entry.isfile()]
        if not content.endswith(END_OF_TAR):
            raise tarfile.ReadError("its end is missing")
    except (EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{archive} is truncated or damaged ({error}): fetch it again") from error
    if not files:
        raise ValueError(f"{archive} holds no stays")
    for name, content in files:
        yield f"{archive}, {name}", content.decode("ascii", errors="replace")


def parse_stay(place: str, text: str) -> Stay:
    """Read one stay's rows, and take what was recorded at admission out of its series."""
    header, *lines = text.splitlines() or [""]
    if header != STAY_HEADER:
        raise ValueError(f"{place}, line 1: expected the header {STAY_HEADER}: got {header!r}")
    minute, code, value = _columns(place, lines)
    rows = [_row_at_admission(place, name, minute, code) for name in (*ADMISSION_PARAMETERS, "Weight")]
    record_id, *descriptors = value[rows].tolist()
    if not record_id.is_integer():
        raise ValueError(f"{place}, line {rows[0] + 2}: RecordID must be a whole number: got {record_id}")
    in_series = value != NOT_RECORDED
    in_series[rows] = False
    return Stay(int(record_id), descriptors, minute[in_series], code[in_series], value[in_series])


def _columns(place: str, lines: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the lines into minutes, codes of the parameters, and values, each (rows,)."""
    minutes, codes, values = [], [], []
    try:
        for line in lines:
            time, parameter, value = line.split(",")
            minutes.append(MINUTE_OF[time])
            codes.append(CODE_OF[parameter])
            values.append(float(value))
    except (KeyError, ValueError):
        raise _first_fault(place, lines) from None
    value = np.array(values)
    if not np.isfinite(value).all():
        raise _first_fault(place, lines)
    return np.array(minutes), np.array(codes), value


def _first_fault(place: str, lines: list[str]) -> ValueError:
    """Find the first line that cannot be read, and say why."""
    faults = ((number, _fault(line)) for number, line in enumerate(lines, start=2))
    number, fault = next((number, fault) for number, fault in faults if fault)
    return ValueError(f"{place}, line {number}: {fault}")


def _fault(line: str) -> str | None:
    """Say what is wrong with a line, if anything is."""
    if line.count(",") != 2:
        return f"expected {STAY_HEADER}: got {line!r}"
    time, parameter, value = line.split(",")
    if time not in MINUTE_OF:
        return f"time {time!r} is not HH:MM between 00:00 and {HOURS}:00"
    if parameter not in CODE_OF:
        return f"unknown parameter {parameter!r}"
    if not _is_finite_number(value):
        return f"{parameter} has the value {value!r}, which is not a finite number"
    return None


def _is_finite_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _row_at_admission(place: str, name: str, minute: np.ndarray, code: np.ndarray) -> int:
    """Find the row of what was recorded at admission; a second Weight belongs to the series."""
    rows = np.flatnonzero(code == CODE_OF[name])
    at_admission = rows[minute[rows] == 0]
    if len(at_admission) == 0:
        raise ValueError(f"{place}: no {name} at 00:00")
    if name in ADMISSION_PARAMETERS and len(rows) > 1:
        raise ValueError(f"{place}, line {rows[1] + 2}: a second {name}")
    return int(at_admission[0])


def _check_distinct(record_id: np.ndarray, archive: Path) -> None:
    """Check that sorted identifiers differ."""
    twice = record_id[1:][record_id[1:] == record_id[:-1]]
    if len(twice):
        raise ValueError(f"{archive}: stay {twice[0]} occurs twice")


def _series(stays: list[Stay]) -> dict[str, np.ndarray]:
    """Join the stays' rows, average readings of one variable in one minute, and number the visits."""
    stay = np.repeat(np.arange(len(stays)), [len(stay.minute) for stay in stays])
    minute, variable, value = (
        np.concatenate([getattr(stay, column) for stay in stays])
        for column in ("minute", "variable", "value")
    )
    cell = ((stay * MINUTES + minute) * len(VARIABLES) + variable).astype(np.int64)
    cells, reading, count = np.unique(cell, return_inverse=True, return_counts=True)
    visit, reading_variable = np.divmod(cells, len(VARIABLES))
    visits, reading_visit = np.unique(visit, return_inverse=True)
    stay_of_visit, visit_minute = np.divmod(visits, MINUTES)
    return {
        "lengths": np.bincount(stay_of_visit, minlength=len(stays)),
        "visit_minute": visit_minute.astype(np.int16),
        "reading_visit": reading_visit,
        "reading_variable": reading_variable.astype(np.int8),
        "reading_value": (np.bincount(reading, weights=value, minlength=len(cells)) / count).astype(
            np.float32
        ),
    }


def read_outcomes(path: Path, record_id: np.ndarray, archive: Path) -> np.ndarray:
    """Read the outcomes (N, 5) of the stays `record_id` (N,), which `archive` holds.

    Raises
    ------
    ValueError
        Naming the line that cannot be read, or the stay or the row that stands alone.
    """
    header, *lines = path.read_text("ascii", errors="replace").splitlines() or [""]
    if header != OUTCOMES_HEADER:
        raise ValueError(f"{path}, line 1: expected the header {OUTCOMES_HEADER}: got {header!r}")
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
        raise ValueError(f"{place}: expected {OUTCOMES_HEADER}: got {line!r}")
    if numbers[1 + DEATH_COLUMN] not in (0, 1):
        raise ValueError(f"{place}: {OUTCOMES[DEATH_COLUMN]} must be 0 or 1: got {numbers[1 + DEATH_COLUMN]}")
    return numbers
