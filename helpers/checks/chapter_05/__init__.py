"""Checks of the exercises of chapter 05, memory with a valve: one module per exercise."""

from helpers.checks.chapter_05.e01_pace import pace
from helpers.checks.chapter_05.e02_cutoff import cutoff
from helpers.checks.chapter_05.e03_lstm_step import lstm_step
from helpers.checks.chapter_05.e04_gru_step import gru_step
from helpers.checks.chapter_05.e05_gru_gradient import gru_gradient
from helpers.checks.chapter_05.e06_starts_figure import four_starts, starts_figure
from helpers.checks.chapter_05.e07_bandwidth import bandwidth, measure_unit
from helpers.checks.chapter_05.e08_both_ways import both_ways
from helpers.checks.chapter_05.e09_look_ahead import look_ahead
from helpers.checks.chapter_05.e10_carry_on import carry_on
from helpers.checks.chapter_05.e11_scan import scan
from helpers.checks.chapter_05.e12_diagnose import diagnose, five_reports

__all__ = [
    "bandwidth",
    "both_ways",
    "carry_on",
    "cutoff",
    "diagnose",
    "five_reports",
    "four_starts",
    "gru_gradient",
    "gru_step",
    "look_ahead",
    "lstm_step",
    "measure_unit",
    "pace",
    "scan",
    "starts_figure",
]
