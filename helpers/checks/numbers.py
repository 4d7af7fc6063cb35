"""Judging an answer that is one number."""

import math
from collections.abc import Iterable

from helpers.checks.attempt import is_blank
from helpers.checks.verdict import Item


def no_number(name: str, answer: object) -> Item:
    """What to say where `as_number` finds no number."""
    return Item(False, f"{name}: " + ("not answered yet" if is_blank(answer) else "give one number"))


def wrong_number(
    name: str,
    number: float,
    slips: Iterable[tuple[float, str]],
    recipe: str,
    *,
    within: float = 0.0,
    relatively: float = 0.0,
) -> Item:
    """What to say about a wrong number: the slip that leads to it, or else how to find the right one.

    Parameters
    ----------
    name : str
        Of the answer.
    number : float
        The answer.
    slips : iterable of (number, str)
        Where each usual slip leads, and what it is; of several, the first.
    recipe : str
        How to find the right one.
    within, relatively : float
        How far from a slip's number the answer may be, as a number or as a share.
    """
    reasons = (
        reason for slip, reason in slips if math.isclose(number, slip, rel_tol=relatively, abs_tol=within)
    )
    return Item(False, f"{name}: {number:g} is not it; {next(reasons, recipe)}")
