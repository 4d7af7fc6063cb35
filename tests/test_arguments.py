"""What the shared checks let pass, and the words with which they refuse the rest."""

import math
import pathlib
from fractions import Fraction

import numpy as np
import pytest
import torch

from helpers import arguments

SCALAR, ROWS = torch.tensor(2.0), torch.tensor([[1.0, 2.0], [3.0, 4.0]])

PASSES = {
    "check_whole_number": [(3,), (0, 0), (np.int64(4),), (-2, -5)],
    "check_finite_number": [(-1.5,), (0,), (np.float32(2),), (SCALAR,), (Fraction(1, 3),)],
    "check_positive_number": [(1e-310,), (3,), (SCALAR,)],
    "check_not_negative_number": [(0,), (0.0,), (2.5,)],
    "check_probability": [(0.5,), (1e-9,)],
    "check_one_of": [("a", ("a", "b")), ("b", {"a": 1, "b": 2})],
    "check_generator": [(torch.Generator(),)],
    "check_path": [("data",), (pathlib.Path("data"),)],
    "check_floating_dtype": [(torch.float16,), (torch.float64,)],
    "check_fits": [
        (1e38, torch.float32),
        (1e-44, torch.float32),
        (0.0, torch.float32),
        (1e300, torch.float64),
    ],
    "check_tensor": [(ROWS,), (torch.ones(0, dtype=torch.long),)],
    "check_floating": [(ROWS,), (ROWS.half(),)],
    "check_single_or_double": [(ROWS,), (ROWS.double(),)],
    "check_real": [(ROWS,), (ROWS.long(),), (ROWS.half(),)],
    "check_bool": [(ROWS > 2,)],
    "check_shape": [(ROWS, "B D", (2, 2)), (ROWS, "B D", (None, None)), (SCALAR, "", ())],
    "check_finite": [(ROWS,), (ROWS.long(),), (torch.ones(0),)],
    "check_positive": [(ROWS,)],
    "check_not_negative": [(ROWS - 1,)],
}
REFUSES = {
    "check_whole_number": [
        ((0,), "n must be a whole number of at least 1: got 0"),
        ((True,), "n must be a whole number of at least 1: got True"),
        ((2.0,), "n must be a whole number of at least 1: got 2.0"),
        ((3, 4), "n must be a whole number of at least 4: got 3"),
    ],
    "check_finite_number": [
        ((math.nan,), "n must be a finite number: got nan"),
        ((False,), "n must be a finite number: got False"),
        ((10**400,), f"n must be a finite number: got {10**400}"),
        ((1j,), "n must be a finite number: got 1j"),
        ((torch.tensor(1j),), "n must be a finite number: got tensor(0.+1.j)"),
        (([1.0],), "n must be a finite number: got [1.0]"),
    ],
    "check_positive_number": [
        ((0.0,), "n must be positive and finite: got 0.0"),
        ((math.inf,), "n must be positive and finite: got inf"),
    ],
    "check_not_negative_number": [((-1e-310,), "n must be finite and not negative: got -1e-310")],
    "check_probability": [
        ((0.0,), "n must lie strictly between 0 and 1: got 0.0"),
        ((1,), "n must lie strictly between 0 and 1: got 1"),
    ],
    "check_one_of": [
        (("c", ("a", "b")), "n must be one of a, b: got 'c'"),
        (([], ("a", "b")), "n must be one of a, b: got []"),
    ],
    "check_generator": [((None,), "n must be a torch.Generator: got NoneType")],
    "check_path": [((3,), "n must be a path: got int")],
    "check_floating_dtype": [
        ((torch.int64,), "n must be a floating-point dtype: got torch.int64"),
        ((float,), "n must be a floating-point dtype: got <class 'float'>"),
    ],
    "check_fits": [
        ((1e39, torch.float32), "n must be a number that torch.float32 can hold: got 1e+39"),
        ((-1e-46, torch.float32), "n must be a number that torch.float32 can hold: got -1e-46"),
    ],
    "check_tensor": [
        (([1.0],), "n must be a tensor: got list; torch.as_tensor(n) makes it a tensor"),
        ((np.ones(2),), "n must be a tensor: got ndarray; torch.as_tensor(n) makes it a tensor"),
        ((2.0,), "n must be a tensor: got float; torch.as_tensor(n) makes it a tensor"),
        (("three",), "n must be a tensor: got str"),
        ((None,), "n must be a tensor: got NoneType"),
    ],
    "check_floating": [((ROWS.long(),), "n must be a floating-point tensor: got a torch.int64 tensor")],
    "check_single_or_double": [
        ((ROWS.half(),), "n must be a float32 or float64 tensor: got a torch.float16 tensor"),
        ((ROWS.bool(),), "n must be a floating-point tensor: got a torch.bool tensor"),
    ],
    "check_real": [
        ((ROWS + 0j,), "n must hold real numbers: got a torch.complex64 tensor"),
        ((ROWS > 2,), "n must hold real numbers: got a torch.bool tensor"),
    ],
    "check_bool": [
        ((ROWS,), "n must be bool: got torch.float32"),
        (([True],), "n must be a bool tensor: got list; torch.as_tensor(n) makes it a tensor"),
    ],
    "check_shape": [
        ((ROWS, "B D", (3, None)), "n must have shape (B, D) = (3, D): got (2, 2)"),
        ((ROWS, "T", (None,)), "n must have shape (T,): got (2, 2)"),
    ],
    "check_finite": [((torch.tensor([[1.0, math.inf]]),), "n must be finite: n[0, 1] = inf")],
    "check_positive": [((torch.tensor(0.0),), "n must be positive and finite: n = 0.0")],
    "check_not_negative": [((torch.tensor([0.0, -1.0]),), "n must be finite and not negative: n[1] = -1.0")],
}


def cases(table):
    return [
        pytest.param(check, given, id=f"{check}-{number}")
        for check, rows in table.items()
        for number, given in enumerate(rows)
    ]


@pytest.mark.parametrize(("check", "given"), cases(PASSES))
def test_what_fits_passes(check, given):
    assert getattr(arguments, check)("n", *given) is None


@pytest.mark.parametrize(("check", "given"), cases(REFUSES))
def test_the_rest_is_refused_in_one_form(check, given):
    values, message = given
    with pytest.raises(ValueError) as error:
        getattr(arguments, check)("n", *values)
    assert str(error.value) == message


def test_every_check_of_one_argument_is_here():
    several = {"check_entries", "check_like", "check_same", "check_returns_like", "check_broadcastable"}
    several |= {"check_mask", "check_lengths", "check_real_number"}
    checks = {name for name in vars(arguments) if name.startswith("check_")}
    assert checks - several == PASSES.keys() == REFUSES.keys()


def test_a_list_is_made_of_what_can_be_gone_through():
    assert arguments.as_list("n", (k for k in range(3)), "numbers") == [0, 1, 2]
    for other in (None, 3, torch.tensor(1.0)):
        with pytest.raises(ValueError, match="n must be numbers: got (NoneType|int|a torch.float32 tensor)"):
            arguments.as_list("n", other, "numbers")


def test_the_first_place_that_is_wrong_is_named():
    wrong = torch.tensor([[False, False], [True, True]])
    with pytest.raises(ValueError, match=r"^at 1, 0$"):
        arguments.refuse_where(wrong, lambda row, column: f"at {row}, {column}")
    assert arguments.refuse_where(wrong[:1], str) is None


TWO = [
    (
        lambda: arguments.check_like("n", ROWS.double(), "m", ROWS),
        "n must have the dtype of m: got torch.float64 and",
    ),
    (
        lambda: arguments.check_same("n", "size", torch.Size([2]), "m", (3,)),
        r"n must have the size of m: got \(2,\)",
    ),
    (lambda: arguments.check_returns_like("f", [1], "x", ROWS), "f must return a tensor: got list"),
    (
        lambda: arguments.check_returns_like("f", ROWS[0], "x", ROWS),
        r"f must return the shape of x, \(2, 2\): got \(2,\)",
    ),
    (
        lambda: arguments.check_broadcastable("n", torch.Size([2]), "m", torch.Size([3])),
        r"n must broadcast with m: shapes \(2,\) and \(3,\)",
    ),
]


@pytest.mark.parametrize(("call", "message"), TWO, ids=[case[-1] for case in TWO])
def test_two_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


VALUES = torch.zeros(2, 3, 1)


@pytest.mark.parametrize(
    ("mask", "lengths", "message"),
    [
        pytest.param(VALUES, None, "mask must be bool: got torch.float32", id="mask of floats"),
        pytest.param(
            VALUES[0] == 0, None, r"mask must have the shape \(2, 3, 1\) of x: got \(3, 1\)", id="mask"
        ),
        pytest.param(
            None, torch.tensor([1.0, 2.0]), "lengths must be integers: got torch.float32", id="floats"
        ),
        pytest.param(None, torch.tensor([1, 4]), "between 0 and T = 3: series 1 has length 4", id="too long"),
        pytest.param(
            None, torch.tensor([-1, 2]), "between 0 and T = 3: series 0 has length -1", id="negative"
        ),
        pytest.param(
            None, torch.tensor([1]), r"lengths must have shape \(B,\) = \(2,\): got \(1,\)", id="too few"
        ),
    ],
)
def test_what_was_observed_must_fit_the_values(mask, lengths, message):
    with pytest.raises(ValueError, match=message):
        arguments.observed_entries("x", VALUES, mask, lengths)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64], ids=str)
def test_observed_is_what_the_mask_says_within_the_lengths(dtype):
    mask = torch.tensor([[True, False, True], [True, True, True]])[..., None]
    seen = arguments.observed_entries("x", VALUES, mask, torch.tensor([3, 1], dtype=dtype))
    assert seen[..., 0].tolist() == [[True, False, True], [True, False, False]]
    assert arguments.observed_entries("x", VALUES, None, None).all()
    long = torch.zeros(1, 300, 1)
    assert arguments.observed_entries("x", long, None, torch.tensor([100], dtype=dtype)).sum() == 100
