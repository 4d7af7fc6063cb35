"""The half of the Kalman filter that reads the data: with gains known, a mean is predicted and corrected.

Vectors of series that share their matrices are columns of one matrix: (T, M, n, N) holds M sets of
matrices with N series each, where either M = 1 (the whole batch shares) or N = 1. The columns of a flat prior
(see `diffuse`) follow them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.statespace.gaussian.diffuse import diffuse_directions
from helpers.statespace.gaussian.model import LinearGaussian, compact, over_time


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and covariances of all steps: what series share is there once, and a flat prior still apart.

    Attributes
    ----------
    predicted, filtered, innovation : Tensor (T, M, H, N), (T, M, H, N) and (T, M, D, N)
        Means as columns, followed by those of a flat prior.
    predicted_covariance, filtered_covariance : Tensor (T, M, H, H)
    innovation_covariance : Tensor (T, M, D, D)
    """

    predicted: Tensor
    filtered: Tensor
    innovation: Tensor
    predicted_covariance: Tensor
    filtered_covariance: Tensor
    innovation_covariance: Tensor


def as_columns(rows: Tensor, shared: bool) -> Tensor:
    """Vectors (B, T, n) as columns: (T, 1, n, B) if all series share their matrices, (T, B, n, 1) if not."""
    return rows.permute(1, 2, 0).unsqueeze(1) if shared else rows.transpose(0, 1).unsqueeze(-1)


def as_rows(columns: Tensor) -> Tensor:
    """Columns (T, M, n, N) as vectors (B, T, n), with B = M N."""
    steps, sets, size, series = columns.shape
    return columns.permute(1, 3, 0, 2).reshape(sets * series, steps, size)


def by_series(stack: Tensor, series: int) -> Tensor:
    """A stack (T, M, ...) as one entry per series, (B, T, ...); a view where all series share."""
    return stack.transpose(0, 1).expand(series, *stack.shape[:1], *stack.shape[2:])


def affine_loop(factor: Tensor, shift: Tensor) -> Tensor:
    """All states of m_t = F_t m_{t-1} + f_t, from m_0 = f_0; F_0 is not read.

    Parameters
    ----------
    factor : Tensor (T, M, H, H)
    shift : Tensor (T, M, H, N)

    Returns
    -------
    Tensor (T, M, H, N)
    """
    state, *shifts = shift.unbind(0)
    states = [state]
    for F, f in zip(factor.unbind(0)[1:], shifts, strict=True):
        state = torch.baddbmm(f, F, state)
        states.append(state)
    return torch.stack(states)


def filter_means(
    model: LinearGaussian,
    observation: Tensor,
    gain: Tensor,
    y: Tensor,
    effect: Tensor | None,
    recursion: Callable[[Tensor, Tensor], Tensor] = affine_loop,
) -> tuple[Tensor, Tensor, Tensor]:
    """Predict and correct the means with known gains.

    ::

        m⁻_t = A_t m_{t-1} + B_t u_t,   e_t = y_t − C_t m⁻_t,   m_t = m⁻_t + K_t e_t

    is one affine map of m_{t-1}, with the factor (I − K_t C_t) A_t, which is all that a recursion over time
    applies.

    Parameters
    ----------
    observation, gain : Tensor (T, M, D, H) and (T, M, H, D)
        C and K, with zeros in the rows of C and the columns of K that belong to missing entries.
    y : Tensor (B, T, D)
        0 where missing.
    effect : Tensor (B, T, H), or None
        B u.
    recursion : function (factor, shift) -> Tensor (T, M, H, N)
        What applies the maps: `affine_loop`, or a scan that equals it.

    Returns
    -------
    predicted, filtered, innovation : Tensor (T, M, H, N), (T, M, H, N) and (T, M, D, N)
    """
    shared = gain.shape[1] == 1
    matrix_of = over_time if shared else compact  # either way, no product copies a matrix for each series
    A, C = (matrix_of(matrix, y.shape[1]) for matrix in (model.transition, model.observation))
    directions = diffuse_directions(model)
    start = as_columns(model.initial_mean.expand(len(y), -1).unsqueeze(1), shared)
    start = torch.cat([start, directions.expand(1, start.shape[1], -1, -1)], -1)
    y = _pad_for_directions(as_columns(y, shared), directions)
    if effect is None:
        before = pad(start, (0, 0) * 3 + (0, len(y) - 1))
    else:
        before = torch.cat([start, _pad_for_directions(as_columns(effect[:, 1:], shared), directions)])
    filtered = recursion(A - gain @ (C @ A), before + gain @ (y - C @ before))
    leading = A if A.ndim == 2 else A[1:]
    moved = leading @ filtered[:-1]
    predicted = torch.cat([start, moved if effect is None else moved + before[1:]])
    return predicted, filtered, y - observation @ predicted


def _pad_for_directions(columns: Tensor, directions: Tensor) -> Tensor:
    """Columns (T, M, n, N), followed by the k of zeros that the columns of a flat prior see instead."""
    unknown = directions.shape[1]
    return pad(columns, (0, unknown)) if unknown else columns
