"""Instant verdicts on exercises: one module per chapter, one function per exercise, reused by the grader."""

from helpers.checks.verdict import Item, Verdict

__all__ = ["Item", "Verdict"]
