"""Judging one number: which slip leads to it, and what is said where there is no number."""

import pytest

from helpers.checks.numbers import no_number, wrong_number

SLIPS = ((2.0, "twice"), (2.1, "nearly twice"), (100.0, "per cent"))


@pytest.mark.parametrize(
    ("number", "tolerances", "reason"),
    [
        (2.0, {}, "twice"),
        (2.1, {}, "nearly twice"),
        (2.09, {}, "start again"),
        (2.09, {"within": 0.1}, "twice"),
        (2.19, {"within": 0.1}, "nearly twice"),
        (99.0, {"within": 0.1}, "start again"),
        (99.0, {"relatively": 0.02}, "per cent"),
        (-2.0, {"relatively": 0.5}, "start again"),
    ],
)
def test_the_first_slip_near_enough_is_named(number, tolerances, reason):
    item = wrong_number("gain", number, SLIPS, "start again", **tolerances)
    assert not item.passed
    assert item.message == f"gain: {number:g} is not it; {reason}"


@pytest.mark.parametrize(("answer", "problem"), [(..., "not answered yet"), ("some", "give one number")])
def test_no_number(answer, problem):
    item = no_number("gain", answer)
    assert not item.passed
    assert item.message == f"gain: {problem}"
