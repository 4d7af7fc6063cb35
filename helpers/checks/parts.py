"""Until chapters 03, 04 and 07 are moved: the former way of judging several tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helpers.checks import functions
from helpers.checks.attempt import pick
from helpers.checks.examine import Case, Misconception, _cases, _ideas
from helpers.checks.verdict import Verdict


@dataclass(frozen=True)
class Part:
    """One of the tensors that a function returns."""

    function: Callable
    index: int

    def __call__(self, *arguments, **named):
        return pick(self.function(*arguments, **named), self.index)


def examine_parts(
    exercise: str,
    function: object,
    cases: Sequence[Case],
    reference: Callable,
    misconceptions: Mapping[str, Sequence[Misconception]],
) -> Verdict:
    """See `functions.examine`."""
    parts = {name: _ideas(ideas) for name, ideas in misconceptions.items()}
    return functions.examine(exercise, function, _cases(cases), reference, parts)
