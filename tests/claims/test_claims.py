"""A claim must hold, must be able to fail, and must say what it saw."""

import numpy as np
import pytest
import torch

from helpers.claims import ClaimFailed, claim, claims_by_text, claims_table


@pytest.fixture(autouse=True)
def no_claims_yet():
    claims_by_text.clear()
    yield
    claims_by_text.clear()


HOLDING = {
    "within": (1.02, 1.0, {"within": 0.05}),
    "exactly at the tolerance": (1.25, 1.0, {"within": 0.25}),
    "tensor within": (torch.tensor([1.0, 2.0]), torch.tensor([1.1, 1.9]), {"within": 0.2}),
    "tensor that needs a gradient": (torch.tensor(1.0, requires_grad=True), 1.0, {"within": 0}),
    "array against one number": (np.array([0.9, 1.1]), 1.0, {"within": 0.2}),
    "at least": (3, None, {"at_least": 3}),
    "at most": (torch.arange(4), None, {"at_most": 3}),
    "between": (0.5, None, {"at_least": 0.4, "at_most": 0.6}),
    "equal": (torch.tensor([True, False]), np.array([True, False]), {}),
    "equal text": ("early", "early", {}),
    "comparison": (torch.tensor([1.0, 2.0]) > 0, None, {}),
    "numpy bool": (np.float64(2.0) > 1, None, {}),
}

FAILING = {
    "within": (1.06, 1.0, {"within": 0.05}),
    "one element off": (torch.tensor([1.0, 2.0]), 1.0, {"within": 0.5}),
    "nan": (float("nan"), 1.0, {"within": 1e9}),
    "nan at most": (float("nan"), None, {"at_most": 1e9}),
    "at least": (2.99, None, {"at_least": 3}),
    "at most": (torch.arange(5), None, {"at_most": 3}),
    "outside": (0.7, None, {"at_least": 0.4, "at_most": 0.6}),
    "not equal": ([1, 2], [1, 3], {}),
    "another shape": ([1, 2], [1, 2, 3], {}),
    "false": (False, None, {}),
    "one false": (torch.tensor([True, False]), None, {}),
}


@pytest.mark.parametrize(("measured", "expected", "form"), HOLDING.values(), ids=HOLDING)
def test_true_sentence_holds(measured, expected, form, capsys):
    claim("the sentence", measured, expected, **form)
    printed = capsys.readouterr().out
    assert printed.startswith("Claim 1 holds. the sentence: measured ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(("measured", "expected", "form"), FAILING.values(), ids=FAILING)
def test_false_sentence_fails(measured, expected, form):
    with pytest.raises(ClaimFailed, match="the sentence: measured .*, expected "):
        claim("the sentence", measured, expected, **form)
    assert claims_by_text == {}


def test_failure_gives_both_values():
    with pytest.raises(ClaimFailed, match=r"^tau: measured 1.06, expected 1 ± 0.05$"):
        claim("tau", 1.06, 1.0, within=0.05)


def test_computed_true_is_accepted(capsys):
    claim("a plain comparison", 2 > 1)
    claim("an equality of tensors", torch.equal(torch.ones(2), torch.ones(2)))
    assert "Claim 2 holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "form", "message"),
    [
        pytest.param(("", 1.0, 1.0), {"within": 1}, "text must be the sentence", id="no text"),
        pytest.param(("t", 1.0), {}, "measured alone must be a bool: got 1", id="a number alone"),
        pytest.param(("t", 1.0), {"within": 1}, "within must be >= 0 around expected", id="within nothing"),
        pytest.param(
            ("t", 1.0, 1.0), {"within": -1}, "within must be >= 0 around expected", id="negative within"
        ),
        pytest.param(
            ("t", 1.0, 1.0), {"within": float("nan")}, "within must be >= 0 around expected", id="within nan"
        ),
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


def test_claim_reads_tensors_from_any_device(device, capsys):
    claim("on the device", torch.tensor([1.0, 2.0], device=device), at_least=1)
    assert "measured [1, 2]" in capsys.readouterr().out


def test_table_lists_each_sentence_once_in_order():
    claim("first", 1, at_least=0)
    claim("second", 2 < 3)
    claim("first", 5, at_least=0)
    assert claims_table().rows == (("1", "first", "5", "at least 0"), ("2", "second", "True", "true"))


def test_long_arrays_are_shown_by_their_range(capsys):
    claim("many", torch.linspace(0, 1, 50), at_most=1)
    claim("all of them", torch.linspace(0, 1, 50) >= 0)
    printed = capsys.readouterr().out
    assert "50 values in [0, 1]" in printed
    assert "50 of 50 true" in printed
