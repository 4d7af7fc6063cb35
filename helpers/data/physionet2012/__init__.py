"""PhysioNet 2012: 48 hours in intensive care, as irregular series with outcomes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import check_path
from helpers.data.physionet2012.files import load_set, locate
from helpers.data.physionet2012.stays import DESCRIPTORS, VARIABLES, Stays, join
from helpers.series import IrregularBatch

SETS = ("a", "b")
__all__ = ["PhysioNet2012", "physionet2012"]


@dataclass(frozen=True, eq=False)
class PhysioNet2012:
    """B intensive-care stays of the challenge, in order of set and record identifier.

    Attributes
    ----------
    batch : IrregularBatch
        Times in hours since admission (B, T), values (B, T, 37) and mask; one step per minute with a reading.
        Unobserved values are 0. A stay without any reading has length 0.
    variables, units : tuple of str, length 37
        Names and units of the features, in order.
    record_id : Tensor (B,), int64
    sets : tuple of str
        The sets asked for.
    set_index : Tensor (B,), int64
        Which of `sets` each stay belongs to.
    descriptors : Tensor (B, 5)
        What was noted at admission; 0 where `descriptor_mask` is False.
    descriptor_mask : Tensor (B, 5), bool
        True where it was recorded.
    descriptor_names, descriptor_units : tuple of str, length 5
    died : Tensor (B,), bool
        Death in hospital; known for every stay.
    saps_i, sofa : Tensor (B,), int64
        Severity scores of the first day; -1 where not recorded.
    length_of_stay : Tensor (B,), int64
        Days in hospital; -1 where not recorded.
    survival : Tensor (B,), int64
        Days from admission to death, in hospital or later; -1 where no death is on record. As published:
        set b holds one impossible -23.
    source : str
        Where the data come from, for captions and references.
    """

    batch: IrregularBatch
    variables: tuple[str, ...]
    units: tuple[str, ...]
    record_id: Tensor
    sets: tuple[str, ...]
    set_index: Tensor
    descriptors: Tensor
    descriptor_mask: Tensor
    descriptor_names: tuple[str, ...]
    descriptor_units: tuple[str, ...]
    died: Tensor
    saps_i: Tensor
    sofa: Tensor
    length_of_stay: Tensor
    survival: Tensor
    source: str

    def __len__(self) -> int:
        """Count the stays."""
        return len(self.batch)


def physionet2012(
    sets: Sequence[str] = ("a",), root: str | os.PathLike | None = None, download: bool = True
) -> PhysioNet2012:
    """Load intensive-care stays of the PhysioNet challenge of 2012: 37 variables over 48 hours, and who died.

    Readings are kept as published, impossible ones (a temperature of -17.8 °C) included, but that -1 means
    not recorded and that readings of one variable in the same minute become their mean. The first Weight at
    00:00 is the admission weight; every other Weight belongs to the series.

    The files are looked for in `root`, or else in the folder named by the environment variable
    `LIVING_DYNAMICS_DATA` (in either, also in its folder `physionet2012`), then in the cache, then at
    PhysioNet. What was parsed is kept in the cache: the folder named by `LIVING_DYNAMICS_CACHE`, or else
    `living-dynamics` in the system's cache folder.

    Parameters
    ----------
    sets : sequence of str
        Any of `"a"` (4000 stays, 554 deaths) and `"b"` (4000 stays, 568 deaths), in the order wanted.
    root : path, optional
        Folder that holds `set-a.tar.gz` and `Outcomes-a.txt`; nowhere else is looked then.
    download : bool
        Whether to fetch what was not found from PhysioNet (6 MB a set), checking its SHA-256.

    Raises
    ------
    ValueError
        If `sets` is empty, repeats or names another set; if `root` is no path or `download` no bool; if a
        downloaded file is not the original; or if a file is not as the challenge describes it, naming the
        file and the line.
    FileNotFoundError
        If `root` lacks a file, or if a file is nowhere and `download` is False.
    ConnectionError
        If PhysioNet cannot be reached.

    Source: Silva, Moody, Scott, Celi & Mark (2012), Predicting in-hospital mortality of ICU patients: the
    PhysioNet/Computing in Cardiology Challenge 2012, Computing in Cardiology 39:245-248.
    """
    sets = _check_sets(sets)
    if root is not None:
        check_path("root", root)
    if not isinstance(download, bool):
        raise ValueError(f"download must be True or False: got {download!r}")
    files = [
        [locate(name, root, download) for name in (f"set-{s}.tar.gz", f"Outcomes-{s}.txt")] for s in sets
    ]
    parsed = [load_set(archive, outcomes) for archive, outcomes in files]
    stays = join(parsed)
    saps_i, sofa, length_of_stay, survival, died = torch.from_numpy(stays.outcomes).unbind(dim=1)
    return PhysioNet2012(
        batch=_to_batch(stays),
        variables=tuple(VARIABLES),
        units=tuple(VARIABLES.values()),
        record_id=torch.from_numpy(stays.record_id),
        sets=sets,
        set_index=torch.arange(len(sets)).repeat_interleave(
            torch.tensor([len(one.record_id) for one in parsed])
        ),
        descriptors=torch.from_numpy(stays.descriptors),
        descriptor_mask=torch.from_numpy(stays.descriptor_mask),
        descriptor_names=tuple(DESCRIPTORS),
        descriptor_units=tuple(DESCRIPTORS.values()),
        died=died.bool(),
        saps_i=saps_i,
        sofa=sofa,
        length_of_stay=length_of_stay,
        survival=survival,
        source=_source(sets),
    )


def _check_sets(sets: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(sets, Sequence):
        raise ValueError(f"sets must name one or more of {SETS}, each once: got {sets!r}")
    sets = tuple(sets)
    unknown = [name for name in sets if name not in SETS]
    if not sets or unknown or len(set(sets)) < len(sets):
        raise ValueError(f"sets must name one or more of {SETS}, each once: got {sets}")
    return sets


def _to_batch(stays: Stays) -> IrregularBatch:
    """Lay the readings out as padded tensors; padding repeats the last time."""
    lengths = torch.from_numpy(stays.lengths)  # (B,)
    stay = torch.arange(len(lengths)).repeat_interleave(lengths)  # (V,)
    step = torch.arange(len(stay)) - (lengths.cumsum(0) - lengths)[stay]  # (V,)
    visit = torch.from_numpy(stays.reading_visit)  # (R,)
    reading = stay[visit], step[visit], torch.from_numpy(stays.reading_variable).long()

    times = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.float32)  # (B, T)
    times[stay, step] = torch.from_numpy(stays.visit_minute).float() / 60
    values = times.new_zeros(*times.shape, len(VARIABLES))  # (B, T, 37)
    values[reading] = torch.from_numpy(stays.reading_value)
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[reading] = True
    return IrregularBatch(times.cummax(dim=1).values, values, mask, lengths)


def _source(sets: tuple[str, ...]) -> str:
    return (
        f"PhysioNet/Computing in Cardiology Challenge 2012 v1.0.0, set {' and '.join(sets)}; "
        f"Silva et al. (2012), Computing in Cardiology 39:245-248; Open Data Commons Attribution License v1.0"
    )
