"""Verdicts: what a student reads and what a grader adds up."""

import pytest

from helpers.checks import Item, Verdict
from helpers.checks.verdict import combine

HALF = Verdict("gap", (Item(True, "even steps"), Item(False, "use `times`, not <steps>")))


def test_score_is_the_fraction_of_items_that_passed():
    assert HALF.score(3) == 1.5
    assert not HALF.passed


def test_full_marks_are_exact_whatever_the_number_of_items():
    for number in range(1, 30):
        verdict = Verdict("gap", (Item(True, "even steps"),) * number)
        assert verdict.score(3) == 3.0
        assert verdict.passed


def test_without_items_nothing_was_attempted():
    verdict = Verdict("gap")
    assert verdict.score(3) == 0.0
    assert not verdict.passed
    assert str(verdict).startswith("gap: not attempted yet.")
    assert (
        verdict._repr_html_()
        == "<p><b>gap: not attempted yet. Replace the dots, run that cell, then this one.</b></p>"
    )


@pytest.mark.parametrize("points", [1, 2.5])
def test_scores_print_as_plain_numbers_for_nbgrader(points):
    assert float(repr(HALF.score(points))) == points / 2
    assert float(repr(Verdict("gap").score(points))) == 0


def test_text_marks_every_item_and_wraps():
    long = Verdict("gap", (Item(False, "word " * 60),))
    assert str(HALF) == "gap: 1 of 2 correct.\n  ✓ even steps\n  ✗ use `times`, not <steps>"
    assert max(map(len, str(long).splitlines())) <= 100


def test_html_escapes_and_sets_code():
    html = HALF._repr_html_()
    assert "<li>✗ use <code>times</code>, not &lt;steps&gt;</li>" in html
    assert "<steps>" not in html


def test_verdicts_combine_and_what_is_missing_is_not_right_yet():
    verdict = combine("both", HALF, Verdict("limit"))
    assert verdict.exercise == "both"
    assert verdict.items == (*HALF.items, Item(False, "limit: not answered yet"))


def test_nothing_answered_is_no_attempt():
    assert combine("both", Verdict("gap"), Verdict("limit")) == Verdict("both")
