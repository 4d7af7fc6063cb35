"""Judging what a student calls the labelled parts of a figure, which of them is which."""

from collections.abc import Mapping
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

    def judge(self, names: object) -> list[Verdict]:
        """A verdict on each name that a student gives, in the order of the labels, and on those too many."""
        given = names if isinstance(names, tuple | list) else (names,)
        if all(map(is_blank, given)):
            given = ()
        return [self._judge_name(*pair) for pair in zip_longest(self.names, given)]

    def _judge_name(self, label: str | None, answer: object) -> Verdict:
        if label is None:
            item = Item(False, f"{answer!r} is one name too many: there are {self.parts}")
            return Verdict(self.parts, (item,))
        if is_blank(answer):
            return Verdict(label)
        spelling = {name.lower(): name for name in self.appearance}
        name = spelling.get(str(answer).strip().lower())
        if name is None:
            choice = ", ".join(f'"{name}"' for name in self.appearance)
            return Verdict(label, (Item(False, f"{label}: {answer!r} is none of {choice}"),))
        return Verdict(label, (self._compare(label, name),))

    def _compare(self, label: str, name: str) -> Item:
        shown, again = (f'"{name}"', "it") if self.phrases else (name, name)
        look = self.appearance[name]
        if name == self.names[label]:
            return Item(True, f"{label} is {shown}: {look}")
        return Item(False, f"{label} is not {shown}. You would know {again} by this: {look}")
