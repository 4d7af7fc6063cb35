"""An exercise that asks for several things: one that is missing is an answer that is not right yet."""

from helpers.checks.verdict import Item, Verdict


def items_of(verdict: Verdict) -> tuple[Item, ...]:
    """What a check found, or that there was nothing to judge."""
    return verdict.items or (Item(False, f"{verdict.exercise}: not answered yet"),)
