"""Judging one number: which slip leads to it, and what is said where there is no number."""

import pytest

from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict

SLIPS = (
    (2.0, "twice"),
    (2.1, "nearly twice"),
    (100.0, "per cent"),
    (lambda gain: gain < 0, "a mirror image"),
)


def say(answer, prediction=None, **declared):
    """Whether an answer passes, and what is said of it."""
    number = Number("gain", 1.0, "{answer:.2f} is right", SLIPS, "start again", **declared)
    (item,) = number.judge(answer, prediction).items
    return item.passed, item.message


@pytest.mark.parametrize(
    ("answer", "tolerances"),
    [
        pytest.param(1.0, {}, id="exactly"),
        pytest.param(1.09, {"within": 0.1}, id="within"),
        pytest.param(1.09, {"relatively": 0.1}, id="relatively"),
    ],
)
def test_a_right_number_passes(answer, tolerances):
    assert say(answer, **tolerances) == (True, f"gain: {answer:.2f} is right")


@pytest.mark.parametrize(
    ("number", "tolerances", "reason"),
    [
        pytest.param(2.0, {}, "twice", id="exactly"),
        pytest.param(2.1, {}, "nearly twice", id="exactly the second"),
        pytest.param(2.09, {}, "start again", id="no slip exactly"),
        pytest.param(2.09, {"within": 0.1}, "twice", id="the first of two"),
        pytest.param(2.19, {"within": 0.1}, "nearly twice", id="within"),
        pytest.param(99.0, {"within": 0.1}, "start again", id="not within"),
        pytest.param(99.0, {"relatively": 0.02}, "per cent", id="relatively"),
        pytest.param(-2.0, {"relatively": 0.5}, "a mirror image", id="a test"),
    ],
)
def test_the_first_slip_near_enough_is_named(number, tolerances, reason):
    assert say(number, **tolerances) == (False, f"gain: {number:g} is not it; {reason}")


def test_an_effect_is_judged_in_place_of_the_number():
    square = Number(
        "root",
        truth=4.0,
        right="{answer:g} squared is {effect:g}",
        recipe=("go higher", lambda root: f"go lower than {root:g}"),
        effect=lambda root: root**2,
        wrong="{answer:g} squared is {effect:g}: ",
    )
    said = [square.judge(root).items[0].message for root in (2, 1.5, 3)]
    assert said == [
        "root: 2 squared is 4",
        "root: 1.5 squared is 2.25: go higher",
        "root: 3 squared is 9: go lower than 3",
    ]


def test_the_impossible_is_said_before_all_else():
    impossible = ((lambda gain: gain > 50, "{answer:g} is more than there is"),)
    assert say(100, impossible=impossible) == (False, "gain: 100 is more than there is")
    assert say(2, impossible=impossible) == (False, "gain: 2 is not it; twice")


def test_a_prediction_is_recalled_beside_a_right_answer():
    assert say(1, prediction=0.5) == (True, "gain: 1.00 is right; you predicted 0.5")
    assert say(1, prediction=0.5, form=".0%") == (True, "gain: 1.00 is right; you predicted 50%")
    assert say(1, prediction=...) == (True, "gain: 1.00 is right")
    assert say(2, prediction=0.5) == (False, "gain: 2 is not it; twice")


def test_what_is_no_number():
    assert Number("gain", 1.0, "right").judge(...) == Verdict("gain")
    assert say("some") == (False, "gain: give one number")
