"""Judging a student's function: called once on every case, and compared with the truth and usual mistakes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.checks.attempt import Attempt, Call, call, is_blank, pick
from helpers.checks.verdict import Item, Verdict

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-5  # single precision and a few more roundings pass

Misconception = tuple[str, Callable]  # the sentence that puts a wrong idea right, the function it leads to


def examine(
    exercise: str,
    function: object,
    cases: Mapping[str, Mapping[str, object]],
    reference: Callable,
    misconceptions: Sequence[Misconception] | Mapping[str, Sequence[Misconception]] = (),
    properties: Callable[[Callable], Iterable[Item]] = lambda function: (),
) -> Verdict:
    """Try a student's function on every case, and name the misconception behind a wrong answer.

    Parameters
    ----------
    exercise : str
        The exercise's name, for the verdict's headline.
    function : object
        The student's function; the untouched stub gives a verdict without items.
    cases : mapping
        What to try it on: the name of each case, and its arguments in the order of the signature. Each case
        gives one item for each tensor that is returned.
    reference : callable
        The right function, with the same signature. Where it returns a mask, a mask is wanted.
    misconceptions : sequence, or mapping of str to sequence
        Compared with a wrong answer; the one that explains most cases is named, the earlier of two equals.
        For a function that returns several tensors: the name of each, in order, with its misconceptions,
        which return either that tensor alone or all of them.
    properties : callable
        What else to look at: given the function, returns items.

    Returns
    -------
    Verdict
        An item for each case and tensor, one for each argument that is changed in place, and the properties.
    """
    if is_blank(function):
        return Verdict(exercise)
    if not callable(function):
        kind = type(function).__name__
        return Verdict(exercise, (Item(False, f"the answer should be a function, but it is of type {kind}"),))
    trials = [_Trial(name, given, call(function, given), reference(**given)) for name, given in cases.items()]
    if isinstance(misconceptions, Mapping):
        parts = [(f"{part}, ", index, misconceptions[part]) for index, part in enumerate(misconceptions)]
    else:
        parts = [("", None, misconceptions)]
    items = [item for part in parts for item in _items([trial.compare(*part) for trial in trials])]
    changed = sorted({name for trial in trials for name in trial.call.changed})
    items += [Item(False, f"your function changes `{name}` in place: work on a copy") for name in changed]
    return Verdict(exercise, (*items, *properties(function)))


@dataclass(frozen=True)
class _Finding:
    """What one case showed of one tensor: the misconceptions whose answer the student's equals, in order."""

    name: str
    attempt: Attempt
    expected: Tensor
    suspects: tuple[str, ...]

    @property
    def correct(self) -> bool:
        """Whether the answer has the right form and the right values."""
        return self.attempt.answer is not None and _same(self.attempt.answer, self.expected)


@dataclass(frozen=True)
class _Trial:
    """One case: what the function was given, what came of it, and what should have."""

    name: str
    given: Mapping[str, object]
    call: Call
    truth: object

    def compare(self, prefix: str, index: int | None, misconceptions: Iterable[Misconception]) -> _Finding:
        """Judge one of the tensors returned, or the only one."""
        expected = pick(self.truth, index)
        tried = self.call.read(expected, index)
        suspects = (
            message
            for message, wrong in misconceptions
            if tried.answer is not None and _same(tried.answer, pick(wrong(**self.given), index))
        )
        return _Finding(prefix + self.name, tried, expected.double(), tuple(suspects))


def _items(findings: Sequence[_Finding]) -> list[Item]:
    """One item per case; a message that has been given before is not repeated."""
    frequency = Counter(idea for finding in findings if not finding.correct for idea in finding.suspects)
    items, given = [], set()
    for finding in findings:
        if finding.correct:
            items.append(Item(True, finding.name))
            continue
        reason = max(finding.suspects, key=frequency.__getitem__, default=None) or _reason(finding)
        message = "the same again" if reason in given else reason
        items.append(Item(False, f"{finding.name}: {message}"))
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


def _same(answer: Tensor, expected: Tensor) -> bool:
    """Whether two tensors of one shape agree to single precision, NaN equal to NaN."""
    return torch.allclose(answer, expected.double(), RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True)
