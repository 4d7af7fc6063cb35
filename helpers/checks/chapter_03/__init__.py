"""Checks of the exercises of chapter 03, the vanilla RNN and its gradients: one module per exercise."""

from helpers.checks.chapter_03.e01_run import run
from helpers.checks.chapter_03.e02_reach import reach
from helpers.checks.chapter_03.e03_bptt import bptt
from helpers.checks.chapter_03.e04_transient import transient
from helpers.checks.chapter_03.e05_descend import descend
from helpers.checks.chapter_03.e06_clip import clip
from helpers.checks.chapter_03.e07_profile_figure import four_profiles, profile_figure
from helpers.checks.chapter_03.e08_leak import leak
from helpers.checks.chapter_03.e09_flat_profile import flat_profile, growth_per_step

__all__ = [
    "bptt",
    "clip",
    "descend",
    "flat_profile",
    "four_profiles",
    "growth_per_step",
    "leak",
    "profile_figure",
    "reach",
    "run",
    "transient",
]
