"""Checks of the exercises of chapter 03, the vanilla RNN and its gradients: one module per exercise."""

from helpers.checks.chapter_03.e01_run import run
from helpers.checks.chapter_03.e02_bptt import bptt
from helpers.checks.chapter_03.e03_reach import reach
from helpers.checks.chapter_03.e04_transient import transient
from helpers.checks.chapter_03.e05_accumulate import accumulate
from helpers.checks.chapter_03.e06_clip import clip
from helpers.checks.chapter_03.e07_leak import leak
from helpers.checks.chapter_03.e08_descend import descend
from helpers.checks.chapter_03.e09_profile_figure import four_profiles, profile_figure
from helpers.checks.chapter_03.e10_growth import growth, measure_growth

__all__ = [
    "accumulate",
    "bptt",
    "clip",
    "descend",
    "four_profiles",
    "growth",
    "leak",
    "measure_growth",
    "profile_figure",
    "reach",
    "run",
    "transient",
]
