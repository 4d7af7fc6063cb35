"""Running students' functions: every way to go wrong is caught and said in words."""

import sys

import pytest
import torch

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.examine import Case, Misconception, examine

COLUMN = torch.arange(6.0).reshape(3, 2)
CASES = (Case("a table", {"table": COLUMN}), Case("its double", {"table": 2 * COLUMN}))


def double(table):
    return 2 * table


def check(function):
    return examine(
        "double", function, CASES, double, (Misconception("you tripled it", lambda table: 3 * table),)
    )


def stub(table):
    """Double the table."""
    # YOUR CODE HERE
    ...


def dots(table): ...


def passing(table):
    pass


@pytest.mark.parametrize("blank", [None, ..., stub, dots, passing])
def test_a_stub_is_not_an_attempt(blank):
    assert check(blank).items == ()
    assert is_blank(blank)


@pytest.mark.parametrize("answer", [0, False, 1.5, torch.zeros(2), double, lambda table: 0, abs])
def test_an_answer_is_not_blank(answer):
    assert not is_blank(answer)


def test_the_right_answer_passes_in_either_precision():
    assert check(double).passed
    assert check(lambda table: 2 * table.double()).passed


def stops(table):
    doubled = 2 * table
    return doubled @ doubled


def forgets_return(table):
    table = 2 * table


def changes_its_input(table):
    return table.mul_(2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3.0, "the answer should be a function, but it is of type float"),
        (lambda: 0, "could not be called: TypeError"),
        (
            forgets_return,
            "returns None instead of a floating-point tensor of shape (3, 2): is its `return` line missing?",
        ),
        (lambda table: ..., "still returns `...`"),
        (lambda table: [1.0], "returns a value of type list instead of"),
        (
            lambda table: 2 * table.T,
            "returns shape (2, 3) instead of a floating-point tensor of shape (3, 2): its two axes",
        ),
        (lambda table: table.sum(), "returns shape () instead of"),
        (lambda table: (2 * table).long(), "returns dtype torch.int64 instead of"),
        (lambda table: 0 / (table * 0), "returns nan at [0, 0]; 0 is expected"),
        (lambda table: 2 * table + (table == table.max()), "returns 11 at [2, 1]; 10 is expected"),
        (lambda table: 3 * table, "you tripled it"),
    ],
)
def test_what_went_wrong_is_said(function, message):
    verdict = check(function)
    assert message in verdict.items[0].message
    assert verdict.score(2) == 0


def test_an_exception_is_named_with_its_line():
    message = check(stops).items[0].message
    line = stops.__code__.co_firstlineno + 2
    assert f"stopped with RuntimeError at line {line} of its cell, `return doubled @ doubled`: " in message


def test_a_message_is_given_once():
    messages = [item.message for item in check(lambda table: 3 * table).items]
    assert messages == ["a table: you tripled it", "its double: the same again"]


def test_the_misconception_that_explains_most_is_named():
    ideas = (Misconception("rare", lambda table: torch.zeros_like(table) if table.max() < 6 else table),)
    ideas += (Misconception("common", lambda table: torch.zeros_like(table)),)
    messages = [item.message for item in examine("double", torch.zeros_like, CASES, double, ideas).items]
    assert messages == ["a table: common", "its double: the same again"]


def test_a_change_in_place_is_told_and_costs_a_part():
    verdict = check(changes_its_input)
    assert [item.passed for item in verdict.items] == [True, True, False]
    assert "changes `table` in place" in verdict.items[-1].message
    assert torch.equal(COLUMN, torch.arange(6.0).reshape(3, 2))


def test_stderr_becomes_ordinary_output(capsys):
    def noisy(table):
        print("to stderr", file=sys.stderr)
        return 2 * table

    assert check(noisy).passed
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "to stderr" in captured.out


@pytest.mark.parametrize("returned", [6, 6.0, torch.tensor(6.0), torch.tensor(6.0, dtype=torch.float64)])
def test_a_number_may_be_a_float_or_a_tensor(returned):
    assert examine("sum", lambda table: returned, CASES[:1], lambda table: torch.tensor(6.0)).passed


def test_a_bool_is_not_a_number():
    verdict = examine("one", lambda table: True, CASES[:1], lambda table: torch.tensor(1.0))
    assert "type bool instead of a number" in verdict.items[0].message


@pytest.mark.parametrize("answer", [None, ..., "three", float("nan"), torch.zeros(2), [1]])
def test_what_is_not_one_number(answer):
    assert as_number(answer) is None


@pytest.mark.parametrize("answer", [3, 3.0, "3", torch.tensor(3.0)])
def test_what_is_one_number(answer):
    assert as_number(answer) == 3.0
