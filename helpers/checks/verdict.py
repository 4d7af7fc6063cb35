"""What a check found, as text a student can act on and as points a grader can add up."""

import html
import itertools
import re
import textwrap
from dataclasses import dataclass

WIDTH = 96  # characters per line of the plain-text form


@dataclass(frozen=True)
class Item:
    """One thing a check looked at, and what it found there."""

    passed: bool
    message: str

    def __str__(self) -> str:
        return ("✓ " if self.passed else "✗ ") + self.message


@dataclass(frozen=True)
class Verdict:
    """What a check found in one exercise; without items, the exercise has not been attempted.

    Parameters
    ----------
    exercise : str
        The exercise's name.
    items : tuple of Item
        Everything looked at, each of equal weight.
    """

    exercise: str
    items: tuple[Item, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the exercise was attempted and every item passed."""
        return bool(self.items) and all(item.passed for item in self.items)

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        if not self.items:
            return f"{self.exercise}: not attempted yet. Replace the dots, run that cell, then this one."
        passed = sum(item.passed for item in self.items)
        outcome = "all correct" if self.passed else f"{passed} of {len(self.items)} correct"
        return f"{self.exercise}: {outcome}."

    def score(self, points: float) -> float:
        """Points earned: `points` times the fraction of items that passed.

        nbgrader takes a number that ends a graded cell as the marks for it.
        """
        return points * sum(item.passed for item in self.items) / max(len(self.items), 1)

    def __repr__(self) -> str:
        lines = [textwrap.fill(str(item), WIDTH, subsequent_indent="    ") for item in self.items]
        return "\n  ".join([self.headline, *lines])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{_as_html(str(item))}</li>" for item in self.items)
        return f"<p><b>{_as_html(self.headline)}</b></p>" + (f"<ul>{items}</ul>" if items else "")


def combine(exercise: str, *verdicts: Verdict) -> Verdict:
    """The verdict on an exercise that asks for several things; what is missing there is not right yet."""
    if not any(verdict.items for verdict in verdicts):
        return Verdict(exercise)
    missing = (Item(False, f"{verdict.exercise}: not answered yet") for verdict in verdicts)
    items = (verdict.items or (absent,) for verdict, absent in zip(verdicts, missing, strict=True))
    return Verdict(exercise, tuple(itertools.chain.from_iterable(items)))


def _as_html(message: str) -> str:
    """The message with its HTML escaped and its `code` set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(message))
