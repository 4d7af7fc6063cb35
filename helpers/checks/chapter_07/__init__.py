"""Checks of the exercises of chapter 07, neural ODEs: one module per exercise."""

from helpers.checks.chapter_07.alignment import trajectory_loss
from helpers.checks.chapter_07.exploring import pitchfork
from helpers.checks.chapter_07.growth import growth
from helpers.checks.chapter_07.heun import heun_step
from helpers.checks.chapter_07.noise import euler_maruyama
from helpers.checks.chapter_07.reading import four_switches, switch_figure
from helpers.checks.chapter_07.shooting import multiple_shooting
from helpers.checks.chapter_07.squares import by_squares
from helpers.checks.chapter_07.totals import totals

__all__ = [
    "by_squares",
    "euler_maruyama",
    "four_switches",
    "growth",
    "heun_step",
    "multiple_shooting",
    "pitchfork",
    "switch_figure",
    "totals",
    "trajectory_loss",
]
