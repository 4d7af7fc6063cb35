"""Calling a student's function safely, and saying in words what is wrong with what it returns."""

import ast
import inspect
import math
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor


@dataclass(frozen=True)
class Attempt:
    """One tensor that a student's function returned, or why there is none.

    Attributes
    ----------
    answer : Tensor or None
        In float64, masks as 0 and 1, where it has the form that is wanted.
    problem : str or None
        Why it cannot be judged.
    """

    answer: Tensor | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Call:
    """What came of one call of a student's function.

    Attributes
    ----------
    returned : object
        What it returned.
    problem : str or None
        The exception that stopped it, explained.
    changed : tuple of str
        The arguments that it changed in place.
    """

    returned: object = None
    problem: str | None = None
    changed: tuple[str, ...] = ()

    def read(self, expected: Tensor, index: int | None = None) -> Attempt:
        """What was returned, or one of several tensors of it; it must have the form of `expected`."""
        returned = pick(self.returned, index)
        problem = self.problem or wrong_form(returned, expected)
        if problem:
            return Attempt(problem=problem)
        return Attempt(torch.as_tensor(returned).detach().to(expected.device, torch.float64))


def call(function: Callable, arguments: Mapping[str, object]) -> Call:
    """Call `function` on copies of `arguments`, in their order.

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
        return Call(problem=explain(error, function))
    changed = tuple(name for name, value in arguments.items() if not _identical(value, copies[name]))
    return Call(returned, changed=changed)


def attempt(function: Callable, arguments: Mapping[str, object], expected: Tensor) -> Attempt:
    """Call `function` on copies of `arguments`; its answer must have the form of `expected`."""
    return call(function, arguments).read(expected)


def pick(returned: object, index: int | None) -> object:
    """Element `index` of several returned values; a value that came alone, or without an index, as it is."""
    several = index is not None and isinstance(returned, tuple | list) and len(returned) > index
    return returned[index] if several else returned


def explain(error: Exception, function: Callable) -> str:
    """The exception in one sentence: its type, the line of the student's cell, and its message."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    filename = code.co_filename if code else None
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
    if not returned.is_floating_point() and not (returned.dtype == expected.dtype == torch.bool):
        return f"your function returns dtype {returned.dtype} instead of {wanted}"
    return None


def is_blank(answer: object) -> bool:
    """Whether an answer is still the stub: `...`, None, or a function whose body does nothing.

    The source says so, which a notebook keeps of every cell. A function without a source is no stub.
    """
    if answer is None or answer is ...:
        return True
    if not inspect.isroutine(answer):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False
    stub = tree.body[0]
    return isinstance(stub, ast.FunctionDef) and all(map(_does_nothing, stub.body))


def as_number(answer: object) -> float | None:
    """The answer as a finite float, or None if it is not one number."""
    try:
        number = float(answer)
    except (TypeError, ValueError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, dots, `pass` or `return None`."""
    if isinstance(statement, ast.Return):
        return statement.value is None or getattr(statement.value, "value", ...) is None
    lone_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return lone_constant or isinstance(statement, ast.Pass)


def _identical(before: object, after: object) -> bool:
    """Whether two arguments are the same, NaN equal to NaN."""
    if not isinstance(before, Tensor):
        return True
    return before.shape == after.shape and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)
