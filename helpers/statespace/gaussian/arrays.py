"""Stacks of small matrices, the sets side by side in memory: a structure of arrays.

A stack (..., M, n, k) holds M matrices, one for each series or for each group of them. Laid out as
(..., n, k, M) in memory, which its shape does not show, one operation on an entry serves all M of them, where
BLAS would be called for each 4 × 4 matrix. Every operation here is right for any layout, and fast for this.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.statespace.matrices import LARGEST_ELIMINATED

LARGEST_SUM = 8  # numbers; longer ones BLAS adds up faster, even for one matrix after the other


def side_by_side(stack: Tensor) -> Tensor:
    """The same stack (..., M, n, k), laid out with its M sets side by side."""
    return stack.movedim(-3, -1).contiguous().movedim(-1, -3)


def stack_steps(steps: Sequence[Tensor]) -> Tensor:
    """T stacks (M, n, k) as (T, M, n, k)."""
    return torch.stack([step.movedim(0, -1) for step in steps]).movedim(-1, 1)


def join_steps(stacks: Sequence[Tensor]) -> Tensor:
    """Stacks (·, M, n, k), one after the other in time."""
    return torch.cat([stack.movedim(1, -1) for stack in stacks]).movedim(-1, 1)


def product(left: Tensor, right: Tensor) -> Tensor:
    """X Y for stacks (..., M or 1, n, k) and (..., M or 1, k, m)."""
    own_left, own_right = left.shape[-3] > 1, right.shape[-3] > 1
    if own_left and own_right:
        return _sum(None, left, right, 1) if left.shape[-1] <= LARGEST_SUM else left @ right
    if own_right:
        wide = right.movedim(-3, -1)  # (..., k, m, M)
        flat = left.squeeze(-3) @ wide.flatten(-2)
        return flat.unflatten(-1, wide.shape[-2:]).movedim(-1, -3)
    if own_left:
        return (right.mT @ left.movedim(-3, -1)).movedim(-1, -3)
    return left @ right


def add_product(total: Tensor, left: Tensor, right: Tensor, sign: int = 1) -> Tensor:
    """Z ± X Y for stacks of the same M sets."""
    if left.shape[-3] == 1 or left.shape[-1] > LARGEST_SUM:
        return total + sign * (left @ right)
    return _sum(total, left, right, sign)


def _sum(total: Tensor | None, left: Tensor, right: Tensor, sign: int) -> Tensor:
    """Z ± Σ_k x_k y_kᵀ, one column and row after the other."""
    for column, row in zip(left.split(1, -1), right.split(1, -2), strict=True):
        total = column * row if total is None else torch.addcmul(total, column, row, value=sign)
    return total


def solve(covariance: Tensor, right: Tensor) -> Tensor:
    """S⁻¹ X for positive definite S (..., M, D, D) and X (..., M, D, n), by elimination of row after row."""
    size = covariance.shape[-1]
    if size > LARGEST_ELIMINATED:
        return side_by_side(torch.linalg.solve_ex(covariance, right).result)
    rows = [list(row.split(1, -1)) for row in covariance.split(1, -2)]
    solution = list(right.split(1, -2))
    for i in range(size):
        for j in range(i + 1, size):
            slope = rows[i][j] / rows[i][i]
            for k in range(j, size):
                rows[j][k] = torch.addcmul(rows[j][k], slope, rows[i][k], value=-1)
            solution[j] = torch.addcmul(solution[j], slope, solution[i], value=-1)
    for i in reversed(range(size)):
        for k in range(i + 1, size):
            solution[i] = torch.addcmul(solution[i], rows[i][k], solution[k], value=-1)
        solution[i] = solution[i] / rows[i][i]
    joined = torch.cat([row.movedim(-3, -1) for row in solution], -3)  # (..., D, n, M)
    return joined.movedim(-1, -3)
