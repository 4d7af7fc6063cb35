"""Judging what a student calls the labelled parts of a figure: which is which?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from helpers.checks.attempt import is_blank
from helpers.checks.verdict import Item, Verdict


@dataclass(frozen=True)
class Figure:
    """What there is to tell apart in a figure.

    Parameters
    ----------
    parts : str
        What the labels stand for, and how many: "three assays".
    names : mapping
        The true name of each label.
    appearance : mapping
        How each possible name shows in the figure.
    phrases : bool
        Whether the names are phrases, which are quoted in a sentence and not said twice.
    """

    parts: str
    names: Mapping[str, str]
    appearance: Mapping[str, str]
    phrases: bool = False


def examine_names(
    exercise: str, figure: Figure, names: object, number: object, judge_number: Callable[[object], Item]
) -> Verdict:
    """Judge the names that a student gives to the parts of a figure, and a number read from it.

    Parameters
    ----------
    exercise : str
        The exercise's name, for the verdict's headline.
    figure : Figure
        What there is to tell apart.
    names : object
        The student's names, in the order of the labels; stubs only give a verdict without items.
    number : object
        What the student reads from the figure.
    judge_number : callable
        What to say about it.
    """
    given = names if isinstance(names, tuple | list) else (names,)
    if all(is_blank(answer) for answer in (*given, number)):
        return Verdict(exercise)
    items = [_named(figure, *pair) for pair in zip_longest(figure.names, given)]
    return Verdict(exercise, (*items, judge_number(number)))


def _named(figure: Figure, label: str | None, answer: object) -> Item:
    if label is None:
        return Item(False, f"{answer!r} is one name too many: there are {figure.parts}")
    if is_blank(answer):
        return Item(False, f"{label}: not answered yet")
    spelling = {name.lower(): name for name in figure.appearance}
    name = spelling.get(str(answer).strip().lower())
    if name is None:
        choice = ", ".join(f'"{name}"' for name in figure.appearance)
        return Item(False, f"{label}: {answer!r} is none of {choice}")
    shown, again = (f'"{name}"', "it") if figure.phrases else (name, name)
    if name == figure.names[label]:
        return Item(True, f"{label} is {shown}: {figure.appearance[name]}")
    return Item(False, f"{label} is not {shown}. You would know {again} by this: {figure.appearance[name]}")
