"""Judging students' functions: every way to go wrong is caught and said in words."""

import sys

import pytest
import torch

from helpers.checks import Item
from helpers.checks.functions import examine

COLUMN = torch.arange(6.0).reshape(3, 2)
CASES = {"a table": {"table": COLUMN}, "its double": {"table": 2 * COLUMN}}


def double(table):
    return 2 * table


def check(function):
    return examine("double", function, CASES, double, [("you tripled it", lambda table: 3 * table)])


@pytest.mark.parametrize("blank", [None, ...], ids=["None", "dots"])
def test_a_stub_is_not_an_attempt(blank):
    assert check(blank).items == ()


def test_the_right_answer_passes_in_either_precision():
    assert check(double).passed
    assert check(lambda table: 2 * table.double()).passed


def forgets_return(table):
    table = 2 * table


def multiplies_itself(table):
    return table @ table


def changes_its_input(table):
    return table.mul_(2)


WRONG = {
    "no function": (3.0, "the answer should be a function, but it is of type float"),
    "other arguments": (lambda: 0, "could not be called: TypeError"),
    "stops": (multiplies_itself, "your function stopped with RuntimeError at line"),
    "no return": (
        forgets_return,
        "returns None instead of a floating-point tensor of shape (3, 2): is its `return` line missing?",
    ),
    "dots": (lambda table: ..., "still returns `...`"),
    "a list": (lambda table: [1.0], "returns a value of type list instead of"),
    "transposed": (
        lambda table: 2 * table.T,
        "returns shape (2, 3) instead of a floating-point tensor of shape (3, 2): its two axes",
    ),
    "another shape": (lambda table: table.sum(), "returns shape () instead of"),
    "whole numbers": (lambda table: (2 * table).long(), "returns dtype torch.int64 instead of"),
    "a mask": (lambda table: table > 2, "returns dtype torch.bool instead of"),
    "NaN": (lambda table: 0 / (table * 0), "returns nan at [0, 0]; 0 is expected"),
    "one entry": (lambda table: 2 * table + (table == table.max()), "returns 11 at [2, 1]; 10 is expected"),
    "misconception": (lambda table: 3 * table, "you tripled it"),
}


@pytest.mark.parametrize(("function", "message"), WRONG.values(), ids=WRONG)
def test_what_went_wrong_is_said(function, message):
    verdict = check(function)
    assert message in verdict.items[0].message
    assert verdict.score(2) == 0


def test_a_message_is_given_once():
    messages = [item.message for item in check(lambda table: 3 * table).items]
    assert messages == ["a table: you tripled it", "its double: the same again"]


def test_the_misconception_that_explains_most_is_named():
    ideas = [
        ("rare", lambda table: 0 * table if table.max() < 6 else table),
        ("common", lambda table: 0 * table),
    ]
    messages = [
        item.message for item in examine("double", lambda table: 0 * table, CASES, double, ideas).items
    ]
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


ONE_CASE = {"a table": {"table": COLUMN}}


@pytest.mark.parametrize(
    "returned",
    [6, 6.0, torch.tensor(6.0), torch.tensor(6.0, dtype=torch.float64)],
    ids=["int", "float", "tensor", "double"],
)
def test_a_number_may_be_a_float_or_a_tensor(returned):
    assert examine("sum", lambda table: returned, ONE_CASE, lambda table: torch.tensor(6.0)).passed


def test_a_bool_is_not_a_number():
    verdict = examine("one", lambda table: True, ONE_CASE, lambda table: torch.tensor(1.0))
    assert "type bool instead of a number" in verdict.items[0].message


def test_properties_are_looked_at_last_and_only_of_functions():
    def properties(function):
        return [Item(False, f"it is called {function.__name__}")]

    verdict = examine("double", changes_its_input, CASES, double, properties=properties)
    assert [item.message for item in verdict.items[2:]] == [
        "your function changes `table` in place: work on a copy",
        "it is called changes_its_input",
    ]
    assert len(examine("double", 3.0, CASES, double, properties=properties).items) == 1
    assert examine("double", ..., CASES, double, properties=properties).items == ()


def stretch(table):
    """Two tensors: the larger entries as a mask, and their sum."""
    return table > 2, table[table > 2].sum()


STRETCH = {
    "mask": [
        ("the mask is the wrong way round", lambda table: (table <= 2, None)),
        ("equal is not larger", lambda table: table >= 2),
    ],
    "sum": [("that is the sum of all", lambda table: table.sum())],
}


def messages(function):
    verdict = examine("stretch", function, ONE_CASE, stretch, STRETCH)
    return [item.message for item in verdict.items]


def test_several_tensors_are_judged_each_from_one_call():
    calls = []

    def counted(table):
        calls.append(table)
        return stretch(table)

    assert messages(counted) == ["mask, a table", "sum, a table"]
    assert len(calls) == 1


SEVERAL = {
    "numbers for a mask": (
        lambda table: ((table > 2).float(), 12.0),
        ["mask, a table", "sum, a table"],
    ),
    "a misconception of each": (
        lambda table: (table <= 2, table.sum()),
        ["mask, a table: the mask is the wrong way round", "sum, a table: that is the sum of all"],
    ),
    "a misconception of one": (
        lambda table: [table >= 2, 12],
        ["mask, a table: equal is not larger", "sum, a table"],
    ),
    "one tensor for two": (
        lambda table: table > 2,
        ["mask, a table", "sum, a table: your function returns shape (3, 2) instead of a number"],
    ),
    "one of two": (
        lambda table: (table > 2,),
        [
            "mask, a table",
            "sum, a table: your function returns a value of type tuple instead of a number",
        ],
    ),
    "None": (
        lambda table: print(),
        [
            "mask, a table: your function returns None instead of a floating-point tensor of shape (3, 2): "
            "is its `return` line missing?",
            "sum, a table: your function returns None instead of a number: is its `return` line missing?",
        ],
    ),
    "changed in place": (
        lambda table: (*stretch(table), table.zero_())[:2],
        ["mask, a table", "sum, a table", "your function changes `table` in place: work on a copy"],
    ),
}


@pytest.mark.parametrize(("function", "said"), SEVERAL.values(), ids=SEVERAL)
def test_what_is_said_of_each_tensor(function, said):
    assert messages(function) == said
