"""Checks of the exercises of chapter 03, the vanilla RNN and its gradients: one module per exercise."""

from helpers.checks.chapter_03.backpropagation import bptt
from helpers.checks.chapter_03.cell import run
from helpers.checks.chapter_03.clipping import clip
from helpers.checks.chapter_03.debugging import descend
from helpers.checks.chapter_03.exploring import flat_profile, growth_per_step
from helpers.checks.chapter_03.leak import leak
from helpers.checks.chapter_03.reach import reach
from helpers.checks.chapter_03.reading import four_profiles, profile_figure
from helpers.checks.chapter_03.transient import transient

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
