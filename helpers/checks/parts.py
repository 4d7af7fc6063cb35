"""Judging a function that returns several tensors: each of them is examined by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

from torch import Tensor

from helpers.checks.attempt import is_blank
from helpers.checks.examine import Case, Misconception, examine
from helpers.checks.verdict import Verdict


@dataclass(frozen=True)
class Part:
    """One of the tensors that a function returns; its code is the function's, so that errors name a line."""

    function: Callable
    index: int

    @property
    def __code__(self) -> CodeType:
        return self.function.__code__

    def __call__(self, *arguments, **named):
        returned = self.function(*arguments, **named)
        several = isinstance(returned, tuple | list) and len(returned) > self.index
        return returned[self.index] if several else returned


def examine_parts(
    exercise: str,
    function: Callable,
    cases: Sequence[Case],
    reference: Callable[..., tuple[Tensor, ...]],
    misconceptions: Mapping[str, Sequence[Misconception]],
) -> Verdict:
    """Try a student's function on every case, and judge each of the tensors it returns as `examine` does.

    Parameters
    ----------
    exercise, function, cases
        As for `examine`.
    reference : callable
        The right function; returns a tuple of tensors.
    misconceptions : mapping
        For each returned tensor, in order: its name, and the wrong ideas that lead to a wrong one.
    """
    if is_blank(function) or not callable(function):
        return examine(exercise, function, cases, reference)
    verdicts = [
        examine(
            exercise,
            Part(function, index),
            [Case(f"{name}, {case.name}", case.arguments) for case in cases],
            Part(reference, index),
            ideas,
        )
        for index, (name, ideas) in enumerate(misconceptions.items())
    ]
    return Verdict(exercise, tuple(dict.fromkeys(item for verdict in verdicts for item in verdict.items)))
