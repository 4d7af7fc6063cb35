"""Until chapters 03, 04 and 07 are moved: the former names of `functions.examine` and what it takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helpers.checks import functions
from helpers.checks.functions import same  # noqa: F401
from helpers.checks.verdict import Verdict


@dataclass(frozen=True)
class Case:
    """See `functions.examine`."""

    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Misconception:
    """See `functions.examine`."""

    message: str
    function: Callable


def examine(
    exercise: str,
    function: object,
    cases: Sequence[Case],
    reference: Callable,
    misconceptions: Sequence[Misconception] = (),
) -> Verdict:
    """See `functions.examine`."""
    return functions.examine(exercise, function, _cases(cases), reference, _ideas(misconceptions))


def _cases(cases: Sequence[Case]) -> dict[str, Mapping[str, object]]:
    return {case.name: case.arguments for case in cases}


def _ideas(misconceptions: Sequence[Misconception]) -> list[tuple[str, Callable]]:
    return [(idea.message, idea.function) for idea in misconceptions]
