"""Three classic data sets, small enough to ship with the book."""

import csv
from dataclasses import dataclass
from importlib.resources import files

import torch
from torch import Tensor

from helpers.series import IrregularBatch, collate, one_series


@dataclass(frozen=True, eq=False)
class LynxHare:
    """Pelts of a predator and its prey, one count a year.

    Attributes
    ----------
    year : Tensor (21,)
    lynx, hare : Tensor (21,)
        Pelts, in `unit`.
    unit, source : str
    """

    year: Tensor
    lynx: Tensor
    hare: Tensor
    unit: str
    source: str


@dataclass(frozen=True, eq=False)
class Theophylline:
    """Concentration of a drug in serum after one dose by mouth.

    Attributes
    ----------
    series : IrregularBatch (12, 11, 1)
        Time since the dose, in `time_unit`; concentration, in `concentration_unit`.
    weight_kg : Tensor (12,)
    dose_mg_per_kg : Tensor (12,)
    time_unit, concentration_unit, source : str
    """

    series: IrregularBatch
    weight_kg: Tensor
    dose_mg_per_kg: Tensor
    time_unit: str
    concentration_unit: str
    source: str


@dataclass(frozen=True, eq=False)
class Indomethacin:
    """Concentration of a drug in plasma after one injection into a vein.

    Attributes
    ----------
    series : IrregularBatch (6, 11, 1)
        Time since the injection, in `time_unit`; concentration, in `concentration_unit`.
    time_unit, concentration_unit, source : str
    """

    series: IrregularBatch
    time_unit: str
    concentration_unit: str
    source: str


def lynx_hare() -> LynxHare:
    """Return the Hudson Bay Company's counts of lynx and hare pelts, 1900 to 1920."""
    columns = _columns("lynx_hare")
    return LynxHare(
        year=columns["year"],
        lynx=columns["lynx_thousand_pelts"],
        hare=columns["hare_thousand_pelts"],
        unit="thousand pelts",
        source=(
            "Elton & Nicholson (1942), The ten-year cycle in numbers of the lynx in Canada, "
            "Journal of Animal Ecology 11:215-244; as tabulated by Howard (2009), Modeling basics"
        ),
    )


def theophylline() -> Theophylline:
    """Return the theophylline concentrations of 12 subjects, 11 samples each, over about a day."""
    columns = _columns("theophylline")
    first_row = columns["subject"].diff(prepend=torch.zeros(1)) > 0
    return Theophylline(
        series=_concentrations(columns),
        weight_kg=columns["weight_kg"][first_row],
        dose_mg_per_kg=columns["dose_mg_per_kg"][first_row],
        time_unit="h",
        concentration_unit="mg/L",
        source="Boeckmann, Sheiner & Beal (1994), NONMEM Users Guide, Part V",
    )


def indomethacin() -> Indomethacin:
    """Return the indomethacin concentrations of 6 subjects, 11 samples each, over 8 hours."""
    return Indomethacin(
        series=_concentrations(_columns("indomethacin")),
        time_unit="h",
        concentration_unit="mg/L",
        source=(
            "Kwan et al. (1976), Kinetics of indomethacin absorption, elimination, and enterohepatic "
            "circulation in man, Journal of Pharmacokinetics and Biopharmaceutics 4:255-280"
        ),
    )


def _concentrations(columns: dict[str, Tensor]) -> IrregularBatch:
    """Give each subject, in the order of their numbers, a series of its own."""
    subject = columns["subject"]
    return collate(
        [
            one_series(columns["time_h"][rows], columns["concentration_mg_per_l"][rows].unsqueeze(-1))
            for rows in (subject == number for number in subject.unique())
        ]
    )


def _columns(table: str) -> dict[str, Tensor]:
    """Read a packaged table: each column, by its name, in float64."""
    with files("helpers.data").joinpath("tables", f"{table}.csv").open(encoding="utf-8") as lines:
        names, *rows = csv.reader(lines)
    values = [[float(cell) for cell in row] for row in rows]
    return dict(zip(names, torch.tensor(values, dtype=torch.float64).unbind(1), strict=True))
