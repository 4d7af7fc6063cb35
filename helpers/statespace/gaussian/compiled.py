"""The log-likelihood in compiled steps: means, covariances and densities at once, entry by entry.

Where every entry of a small matrix is a variable of its own, a compiler holds a whole step in registers.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from helpers.arguments import compile_function
from helpers.observation import LOG_TWO_PI
from helpers.statespace.gaussian.arrays import sets_last
from helpers.statespace.gaussian.data import Observations
from helpers.statespace.gaussian.model import LinearGaussian, matrices_over_time
from helpers.statespace.gaussian.recursion import Advance, Parts, per_step, recurse, stands_still
from helpers.statespace.matrices import lost

LARGEST_COMPILED = 4  # states or observations: the step has some 6 H³ operations, each of which is compiled

Row = Sequence[Tensor]


def compiled_log_likelihood(
    model: LinearGaussian, data: Observations, effect: Tensor | None
) -> Tensor | None:
    """`log_likelihood` (B,) of a small model; None where rounding might decide whether some S is definite.

    `effect` is what inputs add to the state, (B, T, H).
    """
    series, steps = data.y.shape[:2]
    A, Q, C, R = (
        sets_last(matrix[:1]).expand(steps, -1, -1, -1) if matrix.stride(0) == 0 else sets_last(matrix)
        for matrix in matrices_over_time(model, steps)
    )
    y, seen = (part.permute(1, 2, 0).contiguous() for part in (data.y, data.mask.to(data.y.dtype)))
    effect = y.new_zeros(1, model.state_size, 1) if effect is None else effect.permute(1, 2, 0)
    maps = (A, Q, C, R, effect.expand(steps, -1, -1), y, seen)
    mean = model.initial_mean.expand(series, -1).T
    covariance = sets_last(model.initial_covariance.expand(series, -1, -1))
    identity = torch.eye(model.state_size, dtype=y.dtype, device=y.device).unsqueeze(-1)
    start = (covariance, mean, identity, 0 * identity, *(part[0] for part in maps[2:4]))
    first = _apart(filter_step(*start, 0 * mean, y[0], seen[0]), model.state_size)
    changed = torch.ones(steps - 1, dtype=torch.bool, device=y.device)
    (said,) = recurse(first, _compiled_steps, maps, changed, False, kept=slice(2, 3), settled=_settled)
    density, determinant, digits = said.unbind(1)
    least = lost(y.dtype)
    is_sure = (determinant > math.e * least) & (digits > least)  # `is_positive_definite`, `has_few_digits`
    return density.sum(0) if bool(is_sure.all()) else None


def _compiled_steps(*maps: Tensor) -> Advance:
    step, maps = compile_function(filter_step), [per_step(part) for part in maps]

    def advance(index: int, before: Parts) -> Parts:
        return _apart(step(*before[:2], *(part[index] for part in maps)), len(before[0]))

    return advance


def _apart(entries: Tensor, size: int) -> Parts:
    """P (H, H, M), m (H, M), and density, determinant and digits (3, M), from all their entries."""
    P, m, rest = torch.split_with_sizes(entries, [size**2, size, 3])
    return P.view(size, size, -1), m, rest


def _settled(parts: Parts, previous: Parts) -> bool:
    """Whether neither covariances nor means moved by more than rounding."""
    eps = torch.finfo(parts[1].dtype).eps
    slack = 16 * eps * (parts[0].diagonal(dim1=0, dim2=1).T.clamp(min=0).sqrt() + parts[1].abs())
    return stands_still(parts[:1], previous[0], 16) and bool(((parts[1] - previous[1]).abs() <= slack).all())


def filter_step(
    P: Tensor, m: Tensor, A: Tensor, Q: Tensor, C: Tensor, R: Tensor, effect: Tensor, y: Tensor, seen: Tensor
) -> Tensor:
    """Predict, update, and say how probable the observation was.

    ::

        m⁻ = A m + B u,   P⁻ = A P Aᵀ + Q,   e = y − C m⁻,   S = C P⁻ Cᵀ + R,   K = P⁻ Cᵀ S⁻¹
        m = m⁻ + K e,   L = P⁻ − K (C P⁻),   P' = L + (K R − L Cᵀ) Kᵀ   (see `riccati_steps`)

    Parameters
    ----------
    P, m : Tensor (H, H, M) and (H, M)
    A, Q, C, R : Tensor (·, ·, M or 1)
    effect, y : Tensor (H, M or 1) and (D, M)
        B u and the observation.
    seen : Tensor (D, M)
        1 where observed, 0 elsewhere.

    Returns
    -------
    Tensor (H² + H + 3, M)
        All entries of P' and m', the log-density of e, the determinant of its correlations, and which part
        of the terms of C P⁻ Cᵀ is left in the smallest variance.
    """
    A, Q, C, R, P = (_entries(part) for part in (A, Q, C, R, P))
    m, effect, y, seen = (part.unbind(0) for part in (m, effect, y, seen))
    m = [_dot(row, m) + drift for row, drift in zip(A, effect, strict=True)]
    P = _symmetric(lambda i, j: _dot(_row(A[i], P), A[j]) + Q[i][j], len(A))
    X = [_row(row, P) for row in C]
    S = _symmetric(lambda i, j: _dot(X[i], C[j]) + R[i][j], len(C))
    e = [reading - _dot(row, m) for reading, row in zip(y, C, strict=True)]
    K, shift, density, determinant = _gain(X, S, e, seen)
    digits = _digits(C, P, S, seen)
    L = [[P[i][j] - _dot(K[i], [row[j] for row in X]) for j in range(len(m))] for i in range(len(m))]
    V = [[_dot(K[i], R[d]) - _dot(L[i], C[d]) for d in range(len(C))] for i in range(len(m))]
    P = _symmetric(lambda i, j: L[i][j] + _dot(V[i], K[j]), len(m))
    m = [before + moved for before, moved in zip(m, shift, strict=True)]
    return torch.stack([*sum(P, []), *m, density, determinant, digits])


def _gain(X: list[Row], S: list[Row], e: Row, seen: Row) -> tuple[list[Row], Row, Tensor, Tensor]:
    """K, K e, the density of e and the determinant of its correlations, one observation after the other."""
    rows, S, e = [list(row) for row in X], [list(row) for row in S], list(e)
    unseen = [1 - here for here in seen]  # what was not observed may have no variance
    size, alone = range(len(e)), [S[i][i] + unseen[i] for i in range(len(e))]
    slope, scale, density, determinant = {}, [], 0.0, 1.0
    for i in size:
        variance = S[i][i] + unseen[i]
        scale.append(seen[i] / variance)
        density = density - 0.5 * (e[i] * e[i] * scale[i] + seen[i] * (variance.log() + LOG_TWO_PI))
        determinant = determinant * (seen[i] * variance / alone[i] + unseen[i])
        for j in size[i + 1 :]:
            slope[i, j] = S[i][j] * scale[i]
            e[j] = e[j] - slope[i, j] * e[i]
            rows[j] = [entry - slope[i, j] * pivot for entry, pivot in zip(rows[j], rows[i], strict=True)]
            S[j] = [S[j][k] - slope[i, j] * S[i][k] for k in size]
    shift = _row([error * one for error, one in zip(e, scale, strict=True)], rows)
    for i in reversed(size):
        rows[i] = [entry * scale[i] for entry in rows[i]]
        for j in size[i + 1 :]:
            rows[i] = [entry - slope[i, j] * later for entry, later in zip(rows[i], rows[j], strict=True)]
    return [list(column) for column in zip(*rows, strict=True)], shift, density, determinant


def _digits(C: list[Row], P: list[Row], S: list[Row], seen: Row) -> Tensor:
    """The least S_dd over the square of Σ_i |C_di| √P_ii; 1 where nothing was observed."""
    deviations = [P[i][i].clamp(min=0.0).sqrt() for i in range(len(P))]
    terms = [_dot([entry.abs() for entry in row], deviations) for row in C]
    shares = (torch.where(here > 0, S[d][d] / (terms[d] * terms[d]), 1.0) for d, here in enumerate(seen))
    return reduce(torch.minimum, shares)


def _entries(matrix: Tensor) -> list[Row]:
    return [row.unbind(0) for row in matrix.unbind(0)]


def _dot(left: Row, right: Row) -> Tensor:
    """Σ x y."""
    return reduce(torch.add, (one * other for one, other in zip(left, right, strict=True)))


def _row(weights: Row, matrix: list[Row]) -> Row:
    """xᵀ Y."""
    return [_dot(weights, column) for column in zip(*matrix, strict=True)]


def _symmetric(entry: Callable[[int, int], Tensor], size: int) -> list[Row]:
    """A matrix from what is on and below its diagonal."""
    below = [[entry(i, j) for j in range(i + 1)] for i in range(size)]
    return [[below[max(i, j)][min(i, j)] for j in range(size)] for i in range(size)]
