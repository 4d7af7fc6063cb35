"""Until chapters 03, 04 and 07 are moved: the former way of judging names beside a number."""

from collections.abc import Callable

from helpers.checks.attempt import is_blank
from helpers.checks.figures import Figure
from helpers.checks.verdict import Item, Verdict, combine


def examine_names(
    exercise: str, figure: Figure, names: object, number: object, judge_number: Callable[[object], Item]
) -> Verdict:
    """See `Figure.judge` and `Number.judge`."""
    verdicts = figure.judge(names)
    if is_blank(number) and not any(verdict.items for verdict in verdicts):
        return Verdict(exercise)
    return combine(exercise, *verdicts, Verdict("number", (judge_number(number),)))
