"""The check of the welcome's exercise teaches."""

import math

import pytest

from helpers.checks import chapter_00

WRONG = {
    "mean lifetime": lambda rate: 1 / rate,
    "faster decay must give a shorter time": lambda rate: rate * math.log(2),
    "base 10": lambda rate: math.log10(2) / rate,
    "your time is negative": lambda rate: math.log(0.5) / rate,
    "NameError": lambda rate: ln(2) / rate,  # noqa: F821
    "1 is expected": lambda rate: rate * 0 + 0.5,
}


def test_right_answer_passes():
    assert chapter_00.half_life(lambda rate: -math.log(0.5) / rate).passed


@pytest.mark.parametrize("message", WRONG)
def test_wrong_answer_is_explained(message, assert_says):
    verdict = chapter_00.half_life(WRONG[message])
    assert not verdict.passed
    assert_says(verdict, message)


def test_untouched_stub_is_not_attempted():
    def stub(rate):
        """As in the chapter."""
        ...

    assert "not attempted yet" in repr(chapter_00.half_life(stub))
