"""What no reaction can change: the left null space of the stoichiometry."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from helpers.fields.arguments import check_real_matrix

Row = tuple[int, ...]

LARGEST_FAST = 2**40
"""Rows whose entries are smaller are added in 64 bits, which cannot overflow; others as Python's integers."""

PAIRS_AT_ONCE = 128
"""About how many pairs of rows are looked at together."""


def conserved_quantities(S: Tensor) -> Tensor:
    """Combinations of species that stay as they are, whichever reactions run: L with L S = 0.

    ::

        x' = S v   ⇒   (L x)' = L S v = 0

    The rows of L are a basis. Where S holds whole numbers, so does L, by exact elimination: L S is 0 without
    any rounding, and a row reads as a total, such as enzyme + complex. Rows are added to each other, and
    their signs changed, for as long as negative entries shrink by that, or the others at no cost to them.
    Any other S gets orthonormal rows from its singular value decomposition, and L S is 0 up to rounding.

    Parameters
    ----------
    S : Tensor (D, R)
        Stoichiometry: how much of each of D species one event of each of R reactions makes.

    Returns
    -------
    Tensor (K, D)
        K = D - rank S rows, possibly none; of S's device and dtype, the default dtype where S is integer.

    Raises
    ------
    ValueError
        If S is not a matrix of finite real numbers.
    """
    check_real_matrix("S", S, "(D, R)")
    if (S.round() == S).all():
        rows = _simplify(_null_space([[Fraction(round(s)) for s in column] for column in S.mT.tolist()]))
        dtype = S.dtype if S.is_floating_point() else torch.get_default_dtype()
        return torch.tensor(rows, dtype=dtype, device=S.device).reshape(len(rows), len(S))
    directions, singular_values, _ = torch.linalg.svd(S)
    least = singular_values[0] * max(S.shape) * torch.finfo(S.dtype).eps
    return directions[:, (singular_values > least).sum() :].mT


def _null_space(matrix: list[list[Fraction]]) -> list[Row]:
    """Whole numbers l with matrix · l = 0: one solution for each column without a pivot."""
    columns = len(matrix[0])
    pivots = _eliminate(matrix)
    solutions = []
    for free in set(range(columns)) - set(pivots):
        solution = [Fraction(column == free) for column in range(columns)]
        for row, pivot in zip(matrix, pivots, strict=False):
            solution[pivot] = -row[free]
        scale = math.lcm(*(entry.denominator for entry in solution))
        solutions.append(_primitive([int(scale * entry) for entry in solution]))
    return solutions


def _eliminate(matrix: list[list[Fraction]]) -> list[int]:
    """Bring a matrix to reduced row echelon form, in place; return the column of each row's pivot."""
    pivots = []
    for column in range(len(matrix[0])):
        top = len(pivots)
        below = [row for row in range(top, len(matrix)) if matrix[row][column] != 0]
        if not below:
            continue
        matrix[top], matrix[below[0]] = matrix[below[0]], matrix[top]
        matrix[top] = [entry / matrix[top][column] for entry in matrix[top]]
        for row, entries in enumerate(matrix):
            if row != top:
                matrix[row] = [a - entries[column] * b for a, b in zip(entries, matrix[top], strict=True)]
        pivots.append(column)
    return pivots


def _simplify(rows: list[Row]) -> list[Row]:
    """The same space from rows with fewer negative and smaller entries, the first species first."""
    small = max((abs(entry) for row in rows for entry in row), default=0) < LARGEST_FAST
    table = np.array(rows, dtype=np.int64 if small else object)
    pending = np.ones((len(rows), len(rows)), dtype=bool)  # which row might be simpler with which other
    while pending.any():
        index = _settle(table, pending)
        if index is not None:
            pending[index] = pending[:, index] = True
    return sorted(map(tuple, table.tolist()), reverse=True)


def _settle(table: np.ndarray, pending: np.ndarray) -> int | None:
    """Put a simpler row in the place of the first one that has one among its next pending pairs, in place.

    Returns its index. Pairs that make no row simpler are pending no more.
    """
    upto = 1 + np.searchsorted(pending.sum(1).cumsum(), PAIRS_AT_ONCE)
    index, other = pending[:upto].nonzero()
    itself = (index == other)[:, None]
    sums = table[index] + np.where(itself, 0, table[other])
    differences = np.where(itself, 0, table[index]) - table[other]
    candidates = np.concatenate((sums, differences))
    candidates = candidates // np.gcd.reduce(candidates, axis=1)[:, None]
    index = np.concatenate((index, index))
    simpler = _is_simpler(candidates, table[index])
    if not simpler.any():
        pending[:upto] = False
        return None
    first = index[simpler].min()
    pending[:first] = False
    best = min(candidates[simpler & (index == first)].tolist(), key=_complexity)
    table[first] = best
    return first


def _is_simpler(rows: np.ndarray, than: np.ndarray) -> np.ndarray:
    """Where the complexity of a row is less than that of the row beside it."""
    negative = (np.minimum(than, 0) - np.minimum(rows, 0)).sum(1)
    size = (np.abs(rows) - np.abs(than)).sum(1)
    differences = than - rows
    place = differences[np.arange(len(rows)), (differences != 0).argmax(1)]  # the first that is not zero
    return (negative < 0) | (negative == 0) & ((size < 0) | (size == 0) & (place < 0))


def _primitive(row: list[int]) -> Row:
    """The primitive row: without its common divisor."""
    divisor = math.gcd(*row)
    return tuple(entry // divisor for entry in row)


def _complexity(row: Sequence[int]) -> tuple[int, int, Row]:
    """How much of a row is negative, then how large it is, then how little the first species weigh."""
    return sum(-entry for entry in row if entry < 0), sum(map(abs, row)), tuple(-entry for entry in row)
