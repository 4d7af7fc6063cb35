"""Stacks of small matrices, the sets side by side in memory: a structure of arrays.

Where each of M series has matrices of its own, BLAS would be called for each 4 × 4 matrix. Laid out as
(..., n, k, M), one operation on an entry serves all sets. Recursions over time hold their matrices in this
form, sets last. What has shape (..., M, n, k) elsewhere is a view of it: right for any layout, fast for this.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.statespace.matrices import LARGEST_ELIMINATED

LARGEST_SUM = 8  # numbers; longer ones BLAS adds up faster, even for one matrix after the other


def sets_last(stack: Tensor) -> Tensor:
    """From (..., M, n, k) to (..., n, k, M), contiguous."""
    return stack.movedim(-3, -1).contiguous()


def sets_first(stack: Tensor) -> Tensor:
    """From (..., n, k, M) to a view (..., M, n, k)."""
    return stack.movedim(-1, -3)


def join_steps(stacks: Sequence[Tensor]) -> Tensor:
    """Stacks (·, M, n, k), one after the other in time."""
    return torch.cat([stack.movedim(1, -1) for stack in stacks]).movedim(-1, 1)


# Sets last.


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """X Y for (..., n, k, M or 1) and (..., k, m, M or 1)."""
    return _sum(None, left, right, 1)


def add_product(total: Tensor, left: Tensor, right: Tensor, sign: int = 1) -> Tensor:
    """Z ± X Y."""
    return _sum(total, left, right, sign)


def _sum(total: Tensor | None, left: Tensor, right: Tensor, sign: int) -> Tensor:
    """Z ± Σ_k x_k y_kᵀ, one column and row after the other."""
    if left.shape[-2] > LARGEST_SUM:
        whole = sets_last(left.movedim(-1, -3) @ right.movedim(-1, -3))
        return whole if total is None else torch.add(total, whole, alpha=sign)
    (column, *columns), (row, *rows) = left.unsqueeze(-2).unbind(-3), right.unsqueeze(-4).unbind(-3)
    total = column * row if total is None else torch.addcmul(total, column, row, value=sign)
    for column, row in zip(columns, rows, strict=True):
        total.addcmul_(column, row, value=sign)  # its own memory, of which no gradient needs what was there
    return total


def solve_observed(S: Tensor, right: Tensor, seen: Sequence[Tensor], unseen: Sequence[Tensor]) -> Tensor:
    """Xᵀ S⁻¹ of what was observed, by elimination of one observation after the other.

    Parameters
    ----------
    S, right : Tensor (..., D, D, M) and (..., D, n, M)
        Positive definite in the rows and columns of what was observed, and X.
    seen, unseen : sequence of D tensors (..., 1, M)
        1 where observed and 0 elsewhere, and the other way round.

    Returns
    -------
    Tensor (..., n, D, M)
        0 in the columns of what was not observed.
    """
    if (size := S.shape[-2]) > LARGEST_ELIMINATED:
        return _solve_all(S, right, torch.stack(tuple(seen), -3), torch.stack(tuple(unseen), -3))
    rest, S = list(right.unbind(-3)), [list(row.unbind(-3)) for row in S.unsqueeze(-2).unbind(-4)]
    scale, slope = [], {}
    for i in range(size):
        scale.append(seen[i] / (S[i][i] + unseen[i]))  # what was not observed may have no variance
        for j in range(i + 1, size):
            slope[i, j] = S[i][j] * scale[i]
            for k in range(j, size):
                S[j][k] = torch.addcmul(S[j][k], slope[i, j], S[i][k], value=-1)
            rest[j] = torch.addcmul(rest[j], slope[i, j], rest[i], value=-1)
    for i in reversed(range(size)):
        rest[i] = rest[i] * scale[i]
        for j in range(i + 1, size):
            rest[i] = torch.addcmul(rest[i], slope[i, j], rest[j], value=-1)
    return torch.stack(rest, -2)


def _solve_all(S: Tensor, right: Tensor, seen: Tensor, unseen: Tensor) -> Tensor:
    """The same by LAPACK, which takes one matrix after the other."""
    rows, columns = seen, seen.transpose(-2, -3)
    missing = torch.diag_embed(unseen.squeeze(-2).movedim(-1, -2))  # (..., M, D, D)
    S, right = (S * rows * columns).movedim(-1, -3) + missing, (right * rows).movedim(-1, -3)
    return sets_last(torch.linalg.solve_ex(S, right).result.mT)


# Sets third from last.


def product(left: Tensor, right: Tensor) -> Tensor:
    """X Y for stacks (..., M or 1, n, k) and (..., M or 1, k, m)."""
    own_left, own_right = left.shape[-3] > 1, right.shape[-3] > 1
    if own_left and own_right:
        return sets_first(multiply(left.movedim(-3, -1), right.movedim(-3, -1)))
    if own_right:
        wide = right.movedim(-3, -1)  # (..., k, m, M)
        return sets_first((left.squeeze(-3) @ wide.flatten(-2)).unflatten(-1, wide.shape[-2:]))
    if own_left:
        return sets_first(right.mT @ left.movedim(-3, -1))
    return left @ right
