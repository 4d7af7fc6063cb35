"""Running a student's function safely, and saying in words what is wrong with what it returns."""

import math
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor


@dataclass(frozen=True)
class Attempt:
    """What came of one call of a student's function.

    Parameters
    ----------
    answer : Tensor or None
        The returned value in float64 where it can be judged, else None.
    problem : str or None
        Why it cannot be judged.
    changed : tuple of str
        The arguments that the call changed in place.
    """

    answer: Tensor | None = None
    problem: str | None = None
    changed: tuple[str, ...] = ()


def attempt(function: Callable, arguments: Mapping[str, Tensor | float], expected: Tensor) -> Attempt:
    """Call `function` on copies of `arguments`; its answer must have the form of `expected`.

    An exception is caught and explained. What the function prints is shown, its warnings as ordinary output:
    nbgrader gives a graded cell that writes to stderr no marks.
    """
    copies = {
        name: value.clone() if isinstance(value, Tensor) else value for name, value in arguments.items()
    }
    try:
        with redirect_stderr(sys.stdout):
            returned = function(*copies.values())
    except Exception as error:
        return Attempt(problem=explain(error, function))
    changed = tuple(name for name, value in arguments.items() if not _identical(value, copies[name]))
    problem = wrong_form(returned, expected)
    if problem:
        return Attempt(problem=problem, changed=changed)
    return Attempt(torch.as_tensor(returned).detach().to(expected.device, torch.float64), changed=changed)


def explain(error: Exception, function: Callable) -> str:
    """The exception in one sentence: its type, the line of the student's cell, and its message."""
    filename = function.__code__.co_filename if hasattr(function, "__code__") else None
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    if not frames:
        return f"your function could not be called: {type(error).__name__}: {error}"
    line = f"line {frames[-1].lineno} of its cell, `{frames[-1].line}`"
    return f"your function stopped with {type(error).__name__} at {line}: {error}"


def wrong_form(returned: object, expected: Tensor) -> str | None:
    """Why `returned` cannot be compared with `expected`, or None if it can."""
    wanted = "a number" if expected.ndim == 0 else f"a floating-point tensor of shape {tuple(expected.shape)}"
    if returned is None:
        return f"your function returns None instead of {wanted}: is its `return` line missing?"
    if isinstance(returned, EllipsisType):
        return f"your function still returns `...` instead of {wanted}"
    if expected.ndim == 0 and isinstance(returned, float | int) and not isinstance(returned, bool):
        return None
    if not isinstance(returned, Tensor):
        return f"your function returns a value of type {type(returned).__name__} instead of {wanted}"
    if returned.shape != expected.shape:
        shape = f"your function returns shape {tuple(returned.shape)} instead of {wanted}"
        transposed = expected.ndim == 2 and returned.shape == expected.T.shape
        return shape + (": its two axes are swapped" if transposed else "")
    if not returned.is_floating_point():
        return f"your function returns dtype {returned.dtype} instead of {wanted}"
    return None


def is_blank(answer: object) -> bool:
    """Whether an answer is still the stub: `...`, None, or a function whose body does nothing."""
    if answer is None or answer is ...:
        return True
    code = getattr(answer, "__code__", None)
    return (
        code is not None and code.co_code in _EMPTY_BODIES and set(code.co_consts) <= {None, answer.__doc__}
    )


def as_number(answer: object) -> float | None:
    """The answer as a finite float, or None if it is not one number."""
    try:
        number = float(answer)
    except (TypeError, ValueError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def _bare(): ...


def _documented():
    """Documented."""


def _documented_dots():
    """Documented."""
    ...


_EMPTY_BODIES = {function.__code__.co_code for function in (_bare, _documented, _documented_dots)}


def _identical(before: Tensor | float, after: Tensor | float) -> bool:
    """Whether two arguments are the same, NaN equal to NaN."""
    if not isinstance(before, Tensor):
        return True
    return before.shape == after.shape and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)
