"""What the text asserts, checked where it is asserted: findings, and identities."""

import html
import re
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from helpers.figures import Table, as_array

__all__ = ["ClaimFailed", "Claims", "claim", "claims_table", "identity"]

LONGEST_LIST = 4
"""Arrays with at most so many elements are shown whole; of longer ones the element furthest off is."""

DIGITS, DIGITS_OF_A_FAILURE = 4, 8

TICK = '<span style="color: #1a7f37">✓</span>'
"""Green, of contrast 5 : 1 on white and 3.7 : 1 on JupyterLab's dark page."""


class ClaimFailed(AssertionError):
    """A sentence of the book that this run contradicts."""


@dataclass(frozen=True)
class Claim:
    """What held.

    Attributes
    ----------
    sentence : str
        What was asserted, the measurement in it.
    requirement : str
        What the measurement had to be; empty if the sentence says all.
    """

    sentence: str
    requirement: str


findings: dict[str, Claim] = {}
identities: dict[str, Claim] = {}
"""What held in this kernel, by its text; a cell that runs again replaces its own."""


@dataclass(frozen=True)
class Claims:
    """All that held, in the order in which it was asserted; a notebook shows it folded.

    Attributes
    ----------
    findings, identities : tuple of Claim
        What could have come out otherwise, and what had to be.
    """

    findings: tuple[Claim, ...]
    identities: tuple[Claim, ...]

    def __repr__(self) -> str:
        return "\n\n".join([self._summary(), *map(repr, self._tables())])

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self._tables())
        return f"<details><summary>{self._summary()}</summary>{tables}</details>"

    def _summary(self) -> str:
        found = _count(len(self.findings), "finding", "findings")
        equal = _count(len(self.identities), "identity", "identities")
        return f"{' and '.join(filter(None, (found, equal))) or 'No claim'} held in this run"

    def _tables(self) -> list[Table]:
        kinds = (("finding", "required"), self.findings), (("identity", ""), self.identities)
        return [Table(head, tuple((c.sentence, c.requirement) for c in kind)) for head, kind in kinds if kind]


def claim(
    text, measured, expected=None, *, within=None, at_least=None, at_most=None, source="expected"
) -> None:
    """Check a finding, a sentence that could have come out otherwise, and show it in one line.

    Four forms::

        claim("the slope is {}", slope, -0.5, within=0.03, source="theory")  # no further off
        claim("a share of {} is seen", rate, at_least=0.9)  # also at_most, or both
        claim("{} stays ended in death", deaths, 554, source="Silva 2012")  # equal, element by element
        claim("every rate is positive", rates > 0)  # a comparison that could be false

    The first shows `✓ the slope is −0.4987 (theory −0.5, ± 0.03)`.

    Parameters
    ----------
    text : str
        The sentence, as a reader would say it. Its `{}` becomes the measured number; without one, it follows.
    measured : number, array, Tensor (...) or bool
        What came out. An array is held to the claim in every element; of more than four, the element
        furthest off is shown.
    expected : number, array or any value, optional
        What it must be, from an independent source.
    within : number or array, optional
        The largest absolute difference from `expected`.
    at_least, at_most : number or array, optional
        One-sided bounds, included.
    source : str
        Who expects it.

    Raises
    ------
    ClaimFailed
        If the measurement contradicts the sentence (NaN contradicts all); the message gives both values.
    ValueError
        If the claim cannot fail (an empty array) or its form is ambiguous.
    """
    _check_text(text, expected, at_least, at_most)
    _check_form(measured, expected, within, at_least, at_most)
    judge = partial(_judge, as_array(measured), expected, within, at_least, at_most, source)
    holds, value, requirement = judge(DIGITS)
    if not holds:
        _, value, requirement = judge(DIGITS_OF_A_FAILURE)
        findings.pop(text, None)
        raise ClaimFailed(f"“{text}” does not hold: measured {value} ({requirement})")
    findings[text] = Claim(_sentence(text, value), requirement)
    _display(findings[text], '<div>{tick} {sentence} <span style="opacity: 0.7">{requirement}</span></div>')


def identity(what, measured, expected, *, within=0.0) -> None:
    """Check that two ways to compute the same agree, and show it in one quiet line.

    `identity("torch.nn.RNN", ours, theirs, within=1e-12)` shows `✓ equal to torch.nn.RNN (off by 2e-16)`.

    Parameters
    ----------
    what : str
        Completes "equal to …".
    measured : number, array or Tensor (...)
        What came out one way.
    expected : number, array or Tensor (...)
        What comes out the other way, of the same shape or one number.
    within : number or array, optional
        The largest absolute difference, for rounding.

    Raises
    ------
    ClaimFailed
        If they differ by more, or in shape; the message gives both values.
    ValueError
        If nothing is compared.
    """
    if not isinstance(what, str) or not what.strip():
        raise ValueError(f'what must complete "equal to …": got {what!r}')
    _check_form(measured, expected, within, None, None)
    one, other = as_array(measured), as_array(expected)
    if other.ndim and one.shape != other.shape:
        identities.pop(what, None)
        raise ClaimFailed(f"not equal to {what}: measured has the shape {one.shape}, expected {other.shape}")
    off = _number(_distance(one, other).max(), 1)
    holds, value, requirement = _judge_distance(one, other, within, "expected", DIGITS_OF_A_FAILURE)
    if not holds:
        identities.pop(what, None)
        raise ClaimFailed(f"not equal to {what}: measured {value} ({requirement}; off by {off})")
    identities[what] = Claim(f"equal to {what}", "exactly" if off == "0" else f"off by {off}")
    _display(identities[what], '<div style="opacity: 0.7">✓ {sentence} {requirement}</div>')


def claims_table() -> Claims:
    """Return all that held since the kernel started: a folded table, findings first."""
    return Claims(tuple(findings.values()), tuple(identities.values()))


def _judge(measured, expected, within, at_least, at_most, source, digits) -> tuple[bool, str, str]:
    """Whether every element meets the requirement, what was measured, and the requirement in words."""
    if within is not None:
        return _judge_distance(measured, as_array(expected), within, source, digits)
    if expected is not None:
        return _judge_equality(measured, as_array(expected), source, digits)
    if at_least is not None or at_most is not None:
        return _judge_bounds(measured, at_least, at_most, source, digits)
    if measured.ndim == 0:
        return bool(measured), "" if measured else "false", "" if measured else "must be true"
    if measured.all():
        return True, "", f"all {measured.size}"
    return False, f"{int(measured.sum())} of {measured.size} true", "all must be true"


def _judge_distance(measured, expected, within, source, digits) -> tuple[bool, str, str]:
    excess = _distance(measured, expected) - _bound(within)
    value, truth, tolerance = (_show(x, excess, digits) for x in (measured, expected, within))
    requirement = f"{source} {truth}, ± {tolerance}{_which('furthest', excess)}"
    return bool(np.all(excess <= 0)), value, requirement


def _judge_bounds(measured, at_least, at_most, source, digits) -> tuple[bool, str, str]:
    bounds = [("at least", at_least, -1, "smallest"), ("at most", at_most, 1, "largest")]
    given = [bound for bound in bounds if bound[1] is not None]
    excesses = [sign * (measured - _bound(bound)) for _, bound, sign, _ in given]
    excess = reduce(np.maximum, excesses)
    words = [f"{word} {_show(bound, excess, digits)}" for word, bound, _, _ in given]
    which = _which("furthest" if len(given) == 2 else given[0][3], excess)
    origin = "" if source == "expected" else f"; {source}"
    return bool(np.all(excess <= 0)), _show(measured, excess, digits), ", ".join(words) + which + origin


def _judge_equality(measured, expected, source, digits) -> tuple[bool, str, str]:
    if measured.shape != expected.shape:
        shapes = f"{source} {_list(expected, digits)} of shape {expected.shape}"
        return False, f"{_list(measured, digits)} of shape {measured.shape}", shapes
    differs = np.asarray(measured != expected)  # NumPy 2.0 gives a bool where one is a word and one a number
    if not differs.any() and measured.size > LONGEST_LIST:
        return True, f"all {measured.size}", f"exactly as {source}"
    where = _which("first that differs", differs)
    value, truth = (_show(x, differs, digits) for x in (measured, expected))
    return not differs.any(), value, f"{source} {truth}, exactly{where}"


def _check_text(text, expected, at_least, at_most) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"text must be the sentence that is claimed: got {text!r}")
    if text.count("{}") > 1:
        raise ValueError(f"text must have at most one {{}} for the measured number: got {text!r}")
    if "{}" in text and expected is None and at_least is None and at_most is None:
        raise ValueError(f"text must have no {{}} where only a comparison is measured: got {text!r}")


def _check_form(measured, expected, within, at_least, at_most) -> None:
    one_sided = at_least is not None or at_most is not None
    if one_sided and (expected is not None or within is not None):
        raise ValueError("give either expected (with within) or at_least and at_most, not both")
    if within is not None and (expected is None or not np.all(as_array(within) >= 0)):
        raise ValueError(f"within must be >= 0 around expected: got within={within!r}, expected={expected!r}")
    array = as_array(measured)
    if array.size == 0:
        raise ValueError("measured is empty: a claim about nothing cannot fail")
    if expected is None and not one_sided and array.dtype != bool:
        raise ValueError(
            f"measured alone must be a bool: got {_list(array, DIGITS)}; give expected or a bound"
        )
    if one_sided and array.dtype.kind not in "biuf":
        raise ValueError(f"measured must be real numbers, which have an order: got {_list(array, DIGITS)}")


def _display(held: Claim, form: str) -> None:
    """Show one line: as HTML, and beside it as plain text, which is all that a terminal gets."""
    requirement = f"({held.requirement})" if held.requirement else ""
    plain = f"✓ {held.sentence} {requirement}".rstrip()
    if not InteractiveShell.initialized():
        print(plain)
        return
    line = form.format(tick=TICK, sentence=html.escape(held.sentence), requirement=html.escape(requirement))
    display({"text/html": line, "text/plain": plain}, raw=True)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def _sentence(text: str, value: str) -> str:
    """The sentence with the measurement in its place, or behind it."""
    if "{}" in text:
        return text.replace("{}", value)
    return f"{text}: {value}" if value else text


def _show(value, excess: np.ndarray, digits: int) -> str:
    """A few values as they are; of many, that where the excess is largest."""
    values = np.broadcast_to(as_array(value), excess.shape)
    if values.size <= LONGEST_LIST:
        return _list(values, digits)
    return _number(values.ravel()[np.argmax(excess)].item(), digits)


def _which(word: str, excess: np.ndarray) -> str:
    return f"; {word} of {excess.size}" if excess.size > LONGEST_LIST else ""


def _list(values: np.ndarray, digits: int) -> str:
    if values.size > LONGEST_LIST:
        return f"{values.size} values"
    words = [_number(item, digits) for item in values.ravel().tolist()]
    return words[0] if len(set(words)) == 1 else ", ".join(words)


def _number(value, digits: int) -> str:
    """A number with a real minus sign and without the zeros of its exponent; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float | complex | np.number):
        return str(value).lower() if isinstance(value, bool) else str(value)
    words = str(value) if isinstance(value, int) else f"{value:.{digits}g}"
    return re.sub(r"(^|[^e])-", r"\1−", re.sub(r"e([+-])0*", lambda e: f"e{e[1].strip('+')}", words))


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|one − other|, zero also between equal infinities."""
    for name, array in ("measured", one), ("expected", other):
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} must be numbers, for within: got {_list(array, DIGITS)}")
    one, other = (array.astype(float) if array.dtype.kind in "bu" else array for array in (one, other))
    with np.errstate(invalid="ignore"):
        return np.where(one == other, 0.0, np.abs(one - other))


def _bound(value):
    """A bound; Python's own numbers stay, so that they take the measurement's precision."""
    return value if isinstance(value, int | float) else as_array(value)
