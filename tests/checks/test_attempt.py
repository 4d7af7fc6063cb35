"""Answers as they come from a student: stubs, functions that stop, and what is no number."""

import functools

import pytest
import torch

from helpers.checks.attempt import as_number, explain, is_blank


def stub(table):
    """Double the table."""
    # YOUR CODE HERE
    ...


def dots(table): ...


def passing(table):
    pass


def returning(table):
    """Double the table."""
    return None


@torch.no_grad()
def decorated(table):
    """Double the table."""
    ...


STUBS = (stub, dots, passing, returning, decorated)


@pytest.mark.parametrize(
    "blank", [None, ..., *STUBS], ids=lambda blank: getattr(blank, "__name__", str(blank))
)
def test_a_stub_is_blank(blank):
    assert is_blank(blank)


def forgets_return(table):
    table = 2 * table


def returns_dots(table):
    return ...


def raises(table):
    raise NotImplementedError


@functools.wraps(forgets_return)
def wrapped(table):
    pass


ANSWERS = {
    "zero": 0,
    "False": False,
    "number": 1.5,
    "text": "...",
    "tensor": torch.zeros(2),
    "built-in": abs,
    "class": dict,
    "partial": functools.partial(stub, 3),
    "lambda": lambda table: ...,
    "forgets return": forgets_return,
    "returns dots": returns_dots,
    "raises": raises,
    "wrapped": wrapped,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_not_blank(answer):
    assert not is_blank(answer)


def test_a_function_without_a_source_is_no_stub():
    """It is called then, and told that it returns None."""
    names = {}
    exec("def no_source(table): ...", names)
    assert not is_blank(names["no_source"])


def stops(table):
    doubled = 2 * table
    return doubled @ doubled


@functools.wraps(stops)
def around(table):
    return stops(table)


@pytest.mark.parametrize("function", [stops, around], ids=["plain", "wrapped"])
def test_an_exception_is_named_with_the_line_of_the_student(function):
    with pytest.raises(RuntimeError) as caught:
        function(torch.zeros(3, 2))
    line = stops.__code__.co_firstlineno + 2
    message = explain(caught.value, function)
    assert message.startswith(
        f"your function stopped with RuntimeError at line {line} of its cell, `return doubled @ doubled`: "
    )


NO_NUMBERS = {
    "None": None,
    "dots": ...,
    "text": "three",
    "NaN": float("nan"),
    "two entries": torch.zeros(2),
    "list": [1],
}


@pytest.mark.parametrize("answer", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_not_one_number(answer):
    assert as_number(answer) is None


@pytest.mark.parametrize("answer", [3, 3.0, "3", torch.tensor(3.0)], ids=["int", "float", "text", "tensor"])
def test_what_is_one_number(answer):
    assert as_number(answer) == 3.0
