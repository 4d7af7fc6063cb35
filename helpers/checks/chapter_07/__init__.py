"""Checks of the exercises of chapter 07, neural ODEs: one module per exercise."""

from helpers.checks.chapter_07.e01_growth import growth
from helpers.checks.chapter_07.e02_totals import totals
from helpers.checks.chapter_07.e03_euler_maruyama import euler_maruyama
from helpers.checks.chapter_07.e04_switch_figure import four_switches, switch_figure
from helpers.checks.chapter_07.e05_heun_step import heun_step
from helpers.checks.chapter_07.e06_trajectory_loss import trajectory_loss
from helpers.checks.chapter_07.e07_by_squares import by_squares
from helpers.checks.chapter_07.e08_multiple_shooting import multiple_shooting
from helpers.checks.chapter_07.e09_pitchfork import pitchfork

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
