"""Comparing a student's function with the reference, and a wrong answer with the usual misconceptions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.checks.attempt import Attempt, attempt, is_blank
from helpers.checks.verdict import Item, Verdict

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-5  # single precision and a few more roundings pass


@dataclass(frozen=True)
class Case:
    """One set of arguments to try the student's function on, in the order of its signature."""

    name: str
    arguments: Mapping[str, Tensor | float]


@dataclass(frozen=True)
class Misconception:
    """A wrong idea, as the function it leads to and the sentence that puts it right."""

    message: str
    function: Callable[..., Tensor]


def examine(
    exercise: str,
    function: Callable,
    cases: Sequence[Case],
    reference: Callable[..., Tensor],
    misconceptions: Sequence[Misconception] = (),
) -> Verdict:
    """Try a student's function on every case, and name the misconception behind a wrong answer.

    Parameters
    ----------
    exercise : str
        The exercise's name, for the verdict's headline.
    function : callable
        The student's function; the untouched stub gives a verdict without items.
    cases : sequence of Case
        What to try it on; each gives one item.
    reference : callable
        The right function, with the same signature.
    misconceptions : sequence of Misconception
        Compared with a wrong answer; the one that explains most cases is named, the earlier of two equals.
    """
    if is_blank(function):
        return Verdict(exercise)
    if not callable(function):
        kind = type(function).__name__
        return Verdict(exercise, (Item(False, f"the answer should be a function, but it is of type {kind}"),))
    findings = [_try(function, case, reference, misconceptions) for case in cases]
    changed = sorted({name for finding in findings for name in finding.attempt.changed})
    in_place = (Item(False, f"your function changes `{name}` in place: work on a copy") for name in changed)
    return Verdict(exercise, (*_items(findings), *in_place))


@dataclass(frozen=True)
class _Finding:
    """What one case showed: the misconceptions whose answer the student's equals, in the order given."""

    case: Case
    attempt: Attempt
    expected: Tensor
    suspects: tuple[str, ...]

    @property
    def correct(self) -> bool:
        """Whether the answer has the right form and the right values."""
        return self.attempt.answer is not None and same(self.attempt.answer, self.expected)


def _try(
    function: Callable, case: Case, reference: Callable[..., Tensor], misconceptions: Sequence[Misconception]
) -> _Finding:
    expected = reference(**case.arguments).double()
    tried = attempt(function, case.arguments, expected)
    if tried.answer is None:
        return _Finding(case, tried, expected, ())
    wrong_ideas = [idea for idea in misconceptions if same(tried.answer, idea.function(**case.arguments))]
    return _Finding(case, tried, expected, tuple(idea.message for idea in wrong_ideas))


def _items(findings: Sequence[_Finding]) -> list[Item]:
    """One item per case; a message that has been given before is not repeated."""
    frequency = Counter(idea for finding in findings if not finding.correct for idea in finding.suspects)
    items, given = [], set()
    for finding in findings:
        if finding.correct:
            items.append(Item(True, finding.case.name))
            continue
        reason = max(finding.suspects, key=frequency.__getitem__, default=None) or _reason(finding)
        message = "the same again" if reason in given else reason
        items.append(Item(False, f"{finding.case.name}: {message}"))
        given.add(reason)
    return items


def _reason(finding: _Finding) -> str:
    """Why an answer that fits no misconception is wrong: what is wrong with its form, or its worst entry."""
    answer, expected = finding.attempt.answer, finding.expected
    if answer is None:
        return finding.attempt.problem
    error = (answer - expected).abs().nan_to_num(nan=torch.inf)
    worst = torch.unravel_index(error.argmax(), error.shape)
    at = f" at [{', '.join(str(int(index)) for index in worst)}]" if worst else ""
    return f"your function returns {answer[worst]:.6g}{at}; {expected[worst]:.6g} is expected"


def same(answer: Tensor, expected: Tensor) -> bool:
    """Whether two tensors of one shape agree to single precision, NaN equal to NaN."""
    return torch.allclose(answer, expected.double(), RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True)
