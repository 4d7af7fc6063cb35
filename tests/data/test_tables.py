"""The packaged tables hold what their sources print."""

import csv

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from helpers.data import indomethacin, lynx_hare, theophylline


def test_lynx_hare_is_howard_s_table():
    table = lynx_hare()
    assert table.year.tolist() == list(range(1900, 1921))
    assert (table.hare[0], table.lynx[0]) == (30.0, 4.0)
    assert table.year[table.hare.argmax()] == 1903 and table.hare.max() == 77.4
    assert table.year[table.lynx.argmax()] == 1904 and table.lynx.max() == 59.4
    assert table.unit == "thousand pelts"
    assert "Elton & Nicholson (1942)" in table.source


def test_theophylline_is_nonmem_s_table():
    table = theophylline()
    assert table.series.values.shape == (12, 11, 1)
    assert table.series.mask.all()
    assert table.series.lengths.tolist() == [11] * 12
    assert (table.weight_kg[0], table.dose_mg_per_kg[0]) == (79.6, 4.02)
    assert table.series.values.max() == table.series.values[4].max() == 11.4
    assert not table.series.times[:, 0].any()
    assert table.time_unit == "h" and table.concentration_unit == "mg/L"
    assert "Boeckmann, Sheiner & Beal (1994)" in table.source


def test_every_subject_took_about_the_same_dose():
    """Doses were given per kilogram from tablets: 310 to 330 mg but for subject 9 (268 mg)."""
    table = theophylline()
    dose = table.weight_kg * table.dose_mg_per_kg
    assert dose.argmin() == 8
    assert ((dose > 310) & (dose < 330))[torch.arange(12) != 8].all()


def test_indomethacin_falls_in_every_subject():
    table = indomethacin()
    assert table.series.values.shape == (6, 11, 1)
    assert table.series.times[:, [0, -1]].tolist() == [[0.25, 8.0]] * 6
    assert table.series.values[0, 0, 0] == 1.5
    assert (table.series.values[:, 0] > 10 * table.series.values[:, -1]).all()
    assert "Kwan et al. (1976)" in table.source


def test_tables_are_float64():
    assert lynx_hare().hare.dtype == theophylline().weight_kg.dtype == torch.float64
    assert indomethacin().series.times.dtype == indomethacin().series.values.dtype == torch.float64


@pytest.mark.parametrize("load", [theophylline, indomethacin])
def test_no_row_is_lost_or_moved(real_data, load):
    name, series = load.__name__, load().series
    with (real_data / "tables" / f"{name}.csv").open() as lines:
        rows = [
            (int(row["subject"]), float(row["time_h"]), float(row["concentration_mg_per_l"]))
            for row in csv.DictReader(lines)
        ]
    subject = torch.arange(1, len(series) + 1).unsqueeze(-1).expand_as(series.times)
    found = zip(*(x.flatten().tolist() for x in (subject, series.times, series.values)), strict=True)
    assert list(found) == rows


def test_one_compartment_fits_of_theophylline_are_the_reference_answer():
    """SciPy, one subject at a time: the answer that chapter 01 compares its own fits with."""
    study = theophylline()

    def concentration(hours, dose, log_parameters):
        clearance, absorption, elimination = np.exp(log_parameters)
        scale = dose * elimination / clearance * absorption / (absorption - elimination)
        return scale * (np.exp(-elimination * hours) - np.exp(-absorption * hours))

    def fit(hours, measured, dose):
        start = (-3.2, 0.5, -2.5)
        return least_squares(lambda x: concentration(hours, dose, x) - measured, start, xtol=1e-12).x

    subjects = zip(study.series.times, study.series.values[..., 0], study.dose_mg_per_kg, strict=True)
    fits = [fit(hours.numpy(), measured.numpy(), float(dose)) for hours, measured, dose in subjects]
    assert np.mean(fits, axis=0) == pytest.approx([-3.2131, 0.4791, -2.4308], abs=1e-4)
