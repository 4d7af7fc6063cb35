"""Naming the parts of a figure: what is said of each name, and of the number read beside them."""

import pytest

from helpers.checks.naming import Figure, examine_names
from helpers.checks.verdict import Item

TRUTH = {"A": "slow wave", "B": "Spike"}
APPEARANCE = {"Spike": "it is narrow", "slow wave": "it is wide"}


def examine(names, number=7, phrases=False):
    figure = Figure("two curves", TRUTH, APPEARANCE, phrases)
    return examine_names("curves", figure, names, number, lambda number: Item(number == 7, f"read {number}"))


@pytest.mark.parametrize("names", [("slow wave", "Spike"), ["Slow Wave", " spike "]])
def test_right_names_pass_in_any_spelling(names):
    verdict = examine(names)
    assert verdict.passed
    messages = [item.message for item in verdict.items]
    assert messages == ["A is slow wave: it is wide", "B is Spike: it is narrow", "read 7"]


@pytest.mark.parametrize(
    ("names", "phrases", "messages"),
    [
        (("spike", ...), False, ["A is not Spike. You would know Spike by this: it is narrow"]),
        (("spike", ...), True, ['A is not "Spike". You would know it by this: it is narrow']),
        ("slow wave", True, ['A is "slow wave": it is wide', "B: not answered yet"]),
        (("slow wave", None), False, ["B: not answered yet"]),
        (("wave", 3), False, ['A: \'wave\' is none of "Spike", "slow wave"', "B: 3 is none of"]),
        ((*TRUTH.values(), "Spike"), False, ["'Spike' is one name too many: there are two curves"]),
    ],
)
def test_wrong_names_are_explained(names, phrases, messages):
    verdict = examine(names, phrases=phrases)
    assert not verdict.passed
    assert [message for message in messages if message not in str(verdict)] == []


def test_the_number_counts_as_one_item():
    assert examine(tuple(TRUTH.values()), 8).score(3) == 2
    assert examine(..., 7).score(3) == 1


@pytest.mark.parametrize("names", [..., (..., ...), None, ()])
def test_untouched_answers_are_no_attempt(names):
    assert examine(names, ...).items == ()
