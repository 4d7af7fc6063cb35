"""Instant verdicts on exercises, reused by the grader: a file per exercise, named by number and function."""

from helpers.checks.verdict import Item, Verdict

__all__ = ["Item", "Verdict"]
