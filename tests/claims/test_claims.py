"""A claim must hold, must be able to fail, and must say what it saw."""

import re

import numpy as np
import pytest
import torch

from helpers import claims
from helpers.claims import ClaimFailed, claim, claims_table, identity


@pytest.fixture(autouse=True)
def no_claims_yet():
    claims.findings.clear()
    claims.identities.clear()
    yield
    claims.findings.clear()
    claims.identities.clear()


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would receive: a list of bundles."""
    received = []
    monkeypatch.setattr(claims.InteractiveShell, "initialized", lambda: True)
    monkeypatch.setattr(claims, "display", lambda data, raw: received.append(data))
    return received


HOLDING = {
    "within": ((1.02, 1.0), {"within": 0.05}, ": 1.02 (expected 1, ± 0.05)"),
    "exactly at the tolerance": ((1.25, 1.0), {"within": 0.25}, ": 1.25 (expected 1, ± 0.25)"),
    "below zero": ((-0.4987, -0.5), {"within": 0.03}, ": −0.4987 (expected −0.5, ± 0.03)"),
    "tensor within": (
        (torch.tensor([1.0, 2.0]), torch.tensor([1.1, 1.9])),
        {"within": 0.2},
        ": 1, 2 (expected 1.1, 1.9, ± 0.2)",
    ),
    "a tolerance for each": (
        ([1.0, 2.0], 1.5),
        {"within": np.array([0.5, 0.6])},
        ": 1, 2 (expected 1.5, ± 0.5, 0.6)",
    ),
    "tensor that needs a gradient": (
        (torch.tensor(1.0, requires_grad=True), 1.0),
        {"within": 0},
        ": 1 (expected 1, ± 0)",
    ),
    "array against one number": (
        (np.array([0.9, 1.1]), 1.0),
        {"within": 0.2},
        ": 0.9, 1.1 (expected 1, ± 0.2)",
    ),
    "many within": (
        (torch.linspace(1.9, 2.05, 40), 2.0),
        {"within": 0.2},
        ": 1.9 (expected 2, ± 0.2; furthest of 40)",
    ),
    "complex": ((torch.tensor(1 - 2j).conj(), 1 + 2j), {"within": 0}, ": 1+2j (expected 1+2j, ± 0)"),
    "from theory": ((3.1, 3), {"within": 0.2, "source": "theory"}, ": 3.1 (theory 3, ± 0.2)"),
    "at least": ((3, None), {"at_least": 3}, ": 3 (at least 3)"),
    "in single precision": ((torch.tensor(0.95), None), {"at_least": 0.95}, ": 0.95 (at least 0.95)"),
    "bfloat16": ((torch.tensor(0.5, dtype=torch.bfloat16), None), {"at_least": 0.5}, ": 0.5 (at least 0.5)"),
    "many at most": ((torch.arange(8), None), {"at_most": 7}, ": 7 (at most 7; largest of 8)"),
    "many at least": ((torch.arange(8), None), {"at_least": 0}, ": 0 (at least 0; smallest of 8)"),
    "between": ((0.5, None), {"at_least": 0.4, "at_most": 0.6}, ": 0.5 (at least 0.4, at most 0.6)"),
    "many between": (
        (torch.tensor([0.5, 0.55, 0.42, 0.5, 0.5]), None),
        {"at_least": 0.4, "at_most": 0.6, "source": "Sprott 2003"},
        ": 0.42 (at least 0.4, at most 0.6; furthest of 5; Sprott 2003)",
    ),
    "infinitely many": ((float("inf"), float("inf")), {"within": 0}, ": inf (expected inf, ± 0)"),
    "one byte": ((np.uint8(3), np.uint8(4)), {"within": 1}, ": 3 (expected 4, ± 1)"),
    "equal": (
        (torch.tensor([True, False]), np.array([True, False])),
        {},
        ": true, false (expected true, false, exactly)",
    ),
    "equal text": (("early", "early"), {}, ": early (expected early, exactly)"),
    "equal words": ((["a", "b"], ["a", "b"]), {}, ": a, b (expected a, b, exactly)"),
    "many equal": ((torch.arange(9), np.arange(9)), {}, ": all 9 (exactly as expected)"),
    "comparison": ((torch.tensor([1.0, 2.0]) > 0, None), {}, " (all 2)"),
    "numpy bool": ((np.float64(2.0) > 1, None), {}, ""),
    "a large number": ((1.5e-7, None), {"at_most": 2e12}, ": 1.5e-7 (at most 2e12)"),
}

FAILING = {
    "within": ((1.06, 1.0), {"within": 0.05}, "1.06 (expected 1, ± 0.05)"),
    "hardly": ((0.94996, None), {"at_least": 0.95}, "0.94996 (at least 0.95)"),
    "one element off": ((torch.tensor([1.0, 2.0]), 1.0), {"within": 0.5}, "1, 2 (expected 1, ± 0.5)"),
    "one of many off": (
        (torch.tensor([1.0, 1, 2, 1, 1]), torch.tensor([1.0, 1, 3, 1, 1])),
        {"within": 0.5},
        "2 (expected 3, ± 0.5; furthest of 5)",
    ),
    "one byte": ((np.uint8(3), np.uint8(5)), {"within": 1}, "3 (expected 5, ± 1)"),
    "nan": ((float("nan"), 1.0), {"within": 1e9}, "nan (expected 1, ± 1e9)"),
    "nan among many": (
        (torch.tensor([1.0, 2, float("nan"), 9, 5]), None),
        {"at_most": 1e9},
        "nan (at most 1e9; largest of 5)",
    ),
    "at least": ((2.99, None), {"at_least": 3}, "2.99 (at least 3)"),
    "at most": ((torch.arange(6), None), {"at_most": 4}, "5 (at most 4; largest of 6)"),
    "outside": ((0.7, None), {"at_least": 0.4, "at_most": 0.6}, "0.7 (at least 0.4, at most 0.6)"),
    "not equal": (([1, 2], [1, 3]), {}, "1, 2 (expected 1, 3, exactly)"),
    "one of many not equal": (
        ([1, 2, 3, 4, 5], [1, 2, 4, 4, 6]),
        {},
        "3 (expected 4, exactly; first that differs of 5)",
    ),
    "another shape": (([1, 2], [1, 2, 3]), {}, "1, 2 of shape (2,) (expected 1, 2, 3 of shape (3,))"),
    "another kind": (("a", 3), {}, "a (expected 3, exactly)"),
    "a number for a word": ((2.5, "stable"), {}, "2.5 (expected stable, exactly)"),
    "false": ((False, None), {}, "false (must be true)"),
    "one false": ((torch.tensor([True, False]), None), {}, "1 of 2 true (all must be true)"),
}


@pytest.mark.parametrize(("values", "form", "line"), HOLDING.values(), ids=HOLDING)
def test_true_sentence_holds_and_shows_one_line(values, form, line, capsys):
    claim("the sentence", *values, **form)
    assert capsys.readouterr().out == f"✓ the sentence{line}\n"


@pytest.mark.parametrize(("values", "form", "both"), FAILING.values(), ids=FAILING)
def test_false_sentence_fails_and_gives_both_values(values, form, both):
    with pytest.raises(ClaimFailed, match=f"^“the sentence” does not hold: measured {re.escape(both)}$"):
        claim("the sentence", *values, **form)
    assert claims.findings == {}


def test_measurement_takes_its_place_in_the_sentence(capsys):
    claim("the slope is {}, nearly a half", torch.tensor(-0.4987), -0.5, within=0.03, source="theory")
    assert capsys.readouterr().out == "✓ the slope is −0.4987, nearly a half (theory −0.5, ± 0.03)\n"


def test_notebook_gets_html_and_beside_it_plain_text(displayed):
    claim("x < {} & so on", 2, at_least=1)
    (data,) = displayed
    assert data["text/plain"] == "✓ x < 2 & so on (at least 1)"
    assert "x &lt; 2 &amp; so on" in data["text/html"]
    assert re.sub("<[^>]+>", "", data["text/html"]).startswith("✓ x")
    assert "color: #1a7f37" in data["text/html"]


def test_identity_is_quieter_than_a_finding(displayed):
    identity("torch.nn.RNN", torch.tensor([1.0]), 1.0)
    (data,) = displayed
    assert data["text/plain"] == "✓ equal to torch.nn.RNN (exactly)"
    assert "color: #" not in data["text/html"] and 'style="opacity: 0.7"' in data["text/html"]


@pytest.mark.parametrize(
    ("values", "within", "line"),
    [
        pytest.param((1.0, 1 + 2e-16), 1e-12, "off by 2e-16", id="rounding"),
        pytest.param((torch.ones(3, 2), torch.ones(3, 2)), 0.0, "exactly", id="to the last bit"),
        pytest.param((torch.tensor([2.0, 1.5]), 1), 1.0, "off by 1", id="one number for all"),
        pytest.param((torch.tensor([True]), torch.tensor([True])), 0.0, "exactly", id="masks"),
    ],
)
def test_identity_says_how_far_off_it_is(values, within, line, capsys):
    identity("another way", *values, within=within)
    assert capsys.readouterr().out == f"✓ equal to another way ({line})\n"
    assert claims.findings == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param((1.0, 1 + 1e-9), "measured 1 (expected 1, ± 0; off by 1e-9)", id="hardly off"),
        pytest.param(
            (torch.ones(2, 1), torch.ones(2)), "measured has the shape (2, 1), expected (2,)", id="shape"
        ),
        pytest.param((float("nan"), float("nan")), "measured nan (expected nan, ± 0; off by nan)", id="nan"),
    ],
)
def test_identity_can_fail(values, message):
    with pytest.raises(ClaimFailed, match=f"^not equal to y: {re.escape(message)}$"):
        identity("y", *values)
    assert claims.identities == {}


def test_computed_true_is_accepted(capsys):
    claim("a plain comparison", 2 > 1)
    claim("an equality of tensors", torch.equal(torch.ones(2), torch.ones(2)))
    assert capsys.readouterr().out == "✓ a plain comparison\n✓ an equality of tensors\n"


@pytest.mark.parametrize(
    ("arguments", "form", "message"),
    [
        pytest.param(("", 1.0, 1.0), {"within": 1}, "text must be the sentence", id="no text"),
        pytest.param(("{} {}", 1.0, 1.0), {}, "text must have at most one {}", id="two places"),
        pytest.param(
            ("it is {}", 1 > 0), {}, "text must have no {} where only", id="no number for the place"
        ),
        pytest.param(("t", 1.0), {}, "measured alone must be a bool: got 1", id="a number alone"),
        pytest.param(("t", 1.0), {"within": 1}, "within must be >= 0 around expected", id="within nothing"),
        pytest.param(
            ("t", 1.0, 1.0), {"within": -1}, "within must be >= 0 around expected", id="negative within"
        ),
        pytest.param(
            ("t", 1.0, 1.0), {"within": float("nan")}, "within must be >= 0 around expected", id="within nan"
        ),
        pytest.param(
            ("t", "a", "b"), {"within": 1}, "measured must be numbers, for within: got a", id="words"
        ),
        pytest.param(("t", 1j), {"at_least": 0}, "measured must be real numbers", id="no order"),
        pytest.param(("t", 1.0, 1.0), {"at_least": 0}, "either expected", id="at least beside expected"),
        pytest.param(
            ("t", 1.0), {"within": 1, "at_least": 0}, "either expected", id="at least beside within"
        ),
        pytest.param(("t", torch.ones(0) > 0), {}, "measured is empty", id="empty comparison"),
        pytest.param(("t", torch.ones(0)), {"at_least": 0}, "measured is empty", id="empty array"),
    ],
)
def test_claims_that_say_nothing_are_refused(arguments, form, message):
    with pytest.raises(ValueError, match=message):
        claim(*arguments, **form)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((" ", 1, 1), "what must complete", id="no words"),
        pytest.param(("x", torch.ones(0), torch.ones(0)), "measured is empty", id="empty"),
        pytest.param(("x", "a", "a"), "measured must be numbers", id="words"),
        pytest.param(("x", 1, None), "within must be >= 0 around expected", id="no other way"),
    ],
)
def test_identities_that_compare_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        identity(*arguments)


def test_claim_reads_tensors_from_any_device(device, capsys):
    claim("on the device", torch.tensor([1.0, 2.0], device=device), at_least=1)
    assert ": 1, 2 (at least 1)" in capsys.readouterr().out


def test_table_is_folded_and_lists_findings_first():
    identity("b", 2, 2)
    claim("first is {}", 1, at_least=0)
    claim("second", 2 < 3)
    claim("first is {}", 5, at_least=0)
    table = claims_table()
    page = table._repr_html_()
    assert repr(table).splitlines() == [
        "2 findings and 1 identity held in this run",
        "",
        "finding     required",
        "first is 5  at least 0",
        "second",
        "",
        "identity",
        "equal to b  exactly",
    ]
    assert page.startswith("<details><summary>2 findings and 1 identity held in this run</summary><table>")
    assert page.index("first is 5") < page.index("equal to b")


def test_table_before_any_claim():
    assert repr(claims_table()) == "No claim held in this run"


def test_table_forgets_what_no_longer_holds():
    claim("x is small: {}", 1, at_most=2)
    identity("two", 2, 2)
    with pytest.raises(ClaimFailed):
        claim("x is small: {}", 3, at_most=2)
    with pytest.raises(ClaimFailed):
        identity("two", 3, 2)
    assert repr(claims_table()) == "No claim held in this run"


def test_table_does_not_change_with_later_claims():
    before = claims_table()
    claim("later", 2 > 1)
    assert before.findings == ()
