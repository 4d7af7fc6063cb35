"""What the text asserts, checked where it is asserted."""

from dataclasses import dataclass

import numpy as np

from helpers.figures import Table

__all__ = ["Claim", "ClaimFailed", "claim", "claims_table"]


class ClaimFailed(AssertionError):
    """A sentence of the book that this run contradicts."""


@dataclass(frozen=True)
class Claim:
    """A sentence that held.

    Attributes
    ----------
    text, measured, expected : str
        What was asserted, what came out, and what it had to be.
    """

    text: str
    measured: str
    expected: str


claims_by_text: dict[str, Claim] = {}
"""The claims that held in this kernel; a cell that runs again replaces its own."""


def claim(text, measured, expected=None, *, within=None, at_least=None, at_most=None) -> None:
    """Check one sentence of the text against a measurement, and print a line that says so.

    Four forms::

        claim("the mean is 2", sample.mean(), 2.0, within=0.1)      # |measured - expected| <= within
        claim("most are seen", rate, at_least=0.9)                  # also at_most, or both
        claim("the masks agree", mask, other_mask)                  # equal, element by element
        claim("every rate is positive", rates > 0)                  # a comparison that could be false

    Parameters
    ----------
    text : str
        The sentence, as a reader would say it.
    measured : number, array, Tensor (...) or bool
        What came out. An array is held to the claim in every element.
    expected : number, array or any value, optional
        What it must be, from an independent source.
    within : number, optional
        The largest absolute difference from `expected`.
    at_least, at_most : number, optional
        One-sided bounds, included.

    Raises
    ------
    ClaimFailed
        If the measurement contradicts the sentence (NaN contradicts all); the message gives both values.
    ValueError
        If the claim cannot fail (an empty array) or its form is ambiguous.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"text must be the sentence that is claimed: got {text!r}")
    _refuse_ambiguous_form(measured, expected, within, at_least, at_most)
    holds, requirement = _judge(_array(measured), expected, within, at_least, at_most)
    comparison = f"{text}: measured {_show(measured)}, expected {requirement}"
    if not holds:
        raise ClaimFailed(comparison)
    claims_by_text[text] = Claim(text, _show(measured), requirement)
    print(f"Claim {list(claims_by_text).index(text) + 1} holds. {comparison}")


def claims_table() -> Table:
    """The table of all claims that held since the kernel started, in the order they were made."""
    claims = enumerate(claims_by_text.values(), start=1)
    rows = tuple((str(i), c.text, c.measured, c.expected) for i, c in claims)
    return Table(("", "claim", "measured", "expected"), rows)


def _judge(measured, expected, within, at_least, at_most) -> tuple[bool, str]:
    """Whether every element meets the requirement, and the requirement in words."""
    if within is not None:
        difference = np.abs(measured - _array(expected))
        furthest = f" (off by up to {_number(difference.max())})" if difference.ndim else ""
        return bool(np.all(difference <= within)), f"{_show(expected)} ± {_number(within)}{furthest}"
    if expected is not None:
        return bool(np.array_equal(measured, _array(expected))), f"exactly {_show(expected)}"
    if at_least is None and at_most is None:
        return bool(np.all(measured)), "true everywhere" if measured.ndim else "true"
    bounds = [(f"at least {_number(at_least)}", measured >= at_least)] if at_least is not None else []
    bounds += [(f"at most {_number(at_most)}", measured <= at_most)] if at_most is not None else []
    return all(bool(np.all(met)) for _, met in bounds), " and ".join(words for words, _ in bounds)


def _refuse_ambiguous_form(measured, expected, within, at_least, at_most) -> None:
    one_sided = at_least is not None or at_most is not None
    if one_sided and (expected is not None or within is not None):
        raise ValueError("give either expected (with within) or at_least and at_most, not both")
    if within is not None and (expected is None or not within >= 0):
        raise ValueError(f"within must be >= 0 around expected: got within={within!r}, expected={expected!r}")
    array = _array(measured)
    if array.size == 0:
        raise ValueError("measured is empty: a claim about nothing cannot fail")
    if expected is None and not one_sided and array.dtype != bool:
        raise ValueError(f"measured alone must be a bool: got {_show(measured)}; give expected or a bound")


def _array(value) -> np.ndarray:
    """Any measurement as a NumPy array, from whatever device it lies on."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _number(value) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _show(value) -> str:
    """A value short enough for one line: a number in four digits, an array by its range."""
    array = _array(value)
    if array.ndim == 0:
        return _number(array.item())
    if array.dtype == bool:
        return f"{int(array.sum())} of {array.size} true"
    if array.size <= 4 or not np.issubdtype(array.dtype, np.number):
        return "[" + ", ".join(_number(item) for item in array.ravel().tolist()) + "]"
    return f"{array.size} values in [{_number(array.min().item())}, {_number(array.max().item())}]"
