"""Check of the one exercise of chapter 00, the welcome."""

from helpers.checks.chapter_00.e01_half_life import half_life

__all__ = ["half_life"]
