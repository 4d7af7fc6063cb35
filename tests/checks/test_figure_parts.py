"""Naming the parts of a figure: what is said of each name."""

import pytest

from helpers.checks.figures import Figure
from helpers.checks.verdict import combine

TRUTH = {"A": "slow wave", "B": "Spike"}
APPEARANCE = {"Spike": "it is narrow", "slow wave": "it is wide"}


def judge(names, phrases=False):
    return combine("curves", *Figure("two curves", TRUTH, APPEARANCE, phrases).judge(names))


@pytest.mark.parametrize("names", [("slow wave", "Spike"), ["Slow Wave", " spike "]], ids=["exact", "loose"])
def test_right_names_pass_in_any_spelling(names):
    verdict = judge(names)
    assert verdict.passed
    assert [item.message for item in verdict.items] == [
        "A is slow wave: it is wide",
        "B is Spike: it is narrow",
    ]


WRONG = {
    "another": (("spike", ...), False, ["A is not Spike. You would know Spike by this: it is narrow"]),
    "another phrase": (("spike", ...), True, ['A is not "Spike". You would know it by this: it is narrow']),
    "a lone name": ("slow wave", True, ['A is "slow wave": it is wide', "B: not answered yet"]),
    "None": (("slow wave", None), False, ["B: not answered yet"]),
    "no choice": (("wave", 3), False, ['A: \'wave\' is none of "Spike", "slow wave"', "B: 3 is none of"]),
    "too many": ((*TRUTH.values(), "Spike"), False, ["'Spike' is one name too many: there are two curves"]),
}


@pytest.mark.parametrize(("names", "phrases", "messages"), WRONG.values(), ids=WRONG)
def test_wrong_names_are_explained(names, phrases, messages):
    verdict = judge(names, phrases)
    assert not verdict.passed
    assert [message for message in messages if message not in str(verdict)] == []


@pytest.mark.parametrize("names", [..., (..., ...), None, ()], ids=["dots", "two dots", "None", "empty"])
def test_untouched_answers_are_no_attempt(names):
    assert judge(names).items == ()
