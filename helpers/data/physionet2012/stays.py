"""What one set of the challenge holds: its vocabulary, and its stays as flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

VARIABLES = {
    "Albumin": "g/dL",
    "ALP": "IU/L",
    "ALT": "IU/L",
    "AST": "IU/L",
    "Bilirubin": "mg/dL",
    "BUN": "mg/dL",
    "Cholesterol": "mg/dL",
    "Creatinine": "mg/dL",
    "DiasABP": "mmHg",
    "FiO2": "fraction",
    "GCS": "score 3-15",
    "Glucose": "mg/dL",
    "HCO3": "mmol/L",
    "HCT": "%",
    "HR": "beats/min",
    "K": "mEq/L",
    "Lactate": "mmol/L",
    "Mg": "mmol/L",
    "MAP": "mmHg",
    "MechVent": "0 or 1",
    "Na": "mEq/L",
    "NIDiasABP": "mmHg",
    "NIMAP": "mmHg",
    "NISysABP": "mmHg",
    "PaCO2": "mmHg",
    "PaO2": "mmHg",
    "pH": "pH",
    "Platelets": "cells/nL",
    "RespRate": "breaths/min",
    "SaO2": "%",
    "SysABP": "mmHg",
    "Temp": "°C",
    "TroponinI": "µg/L",
    "TroponinT": "µg/L",
    "Urine": "mL",
    "WBC": "cells/nL",
    "Weight": "kg",
}
DESCRIPTORS = {
    "Age": "years",
    "Gender": "0 female, 1 male",
    "Height": "cm",
    "ICUType": "1 coronary care, 2 cardiac surgery recovery, 3 medical, 4 surgical",
    "Weight": "kg",
}
OUTCOMES = ("SAPS-I", "SOFA", "Length_of_stay", "Survival", "In-hospital_death")
NOT_RECORDED = -1


@dataclass(frozen=True, eq=False)
class Stays:
    """N stays with V visits (minutes with at least one reading) and R readings in all.

    Visits are in order of stay and time; readings in order of visit and variable.
    """

    record_id: np.ndarray  # (N,) int64
    descriptors: np.ndarray  # (N, 5) float32, 0 where not recorded
    descriptor_mask: np.ndarray  # (N, 5) bool
    outcomes: np.ndarray  # (N, 5) int64
    lengths: np.ndarray  # (N,) int64, visits per stay
    visit_minute: np.ndarray  # (V,) int16, since admission
    reading_visit: np.ndarray  # (R,) int64
    reading_variable: np.ndarray  # (R,) int8
    reading_value: np.ndarray  # (R,) float32


def join(sets: Sequence[Stays]) -> Stays:
    """Put the stays of several sets one after the other."""
    visits = [len(stays.visit_minute) for stays in sets]
    offsets = np.cumsum([0, *visits[:-1]])
    joined = {
        field.name: np.concatenate([getattr(stays, field.name) for stays in sets]) for field in fields(Stays)
    }
    joined["reading_visit"] = np.concatenate(
        [stays.reading_visit + offset for stays, offset in zip(sets, offsets, strict=True)]
    )
    return Stays(**joined)
