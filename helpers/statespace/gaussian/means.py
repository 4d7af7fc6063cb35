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

from helpers.statespace.gaussian.arrays import join_steps, product, sets_first, sets_last
from helpers.statespace.gaussian.diffuse import diffuse_directions
from helpers.statespace.gaussian.model import LinearGaussian


@dataclass(frozen=True, eq=False)
class Covariances:
    """Covariances and gains over time: M = 1 set where all series share them, else M = B.

    Attributes
    ----------
    transition, observation : Tensor (T, M or 1, H, H) and (T, M or 1, D, H)
        A_t and C_t.
    seen : Tensor (T, M, D, 1), bool
        True where observed.
    gain : Tensor (T, M, H, D)
        K_t; a column that belongs to a missing entry is 0.
    innovation : Tensor (T, M, D, D)
        S_t; the rows and columns of missing entries are those of the identity.
    filtered, predicted : Tensor (T, M, H, H), or None where only gains were wanted
        Of h_t after and before y_t.
    """

    transition: Tensor
    observation: Tensor
    seen: Tensor
    gain: Tensor
    innovation: Tensor
    filtered: Tensor | None
    predicted: Tensor | None

    @property
    def shared(self) -> bool:
        """Whether all series share them."""
        return self.gain.shape[1] == 1


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
    columns = rows.permute(1, 2, 0).contiguous()  # either way, the series lie side by side
    return columns.unsqueeze(1) if shared else columns.movedim(-1, 1).unsqueeze(-1)


def as_rows(columns: Tensor) -> Tensor:
    """Columns (T, M, n, N) as vectors (B, T, n), with B = M N."""
    steps, sets, size, series = columns.shape
    return columns.permute(1, 3, 0, 2).reshape(sets * series, steps, size)


def by_series(stack: Tensor, series: int) -> Tensor:
    """A stack (T, M, ...) as one entry per series, (B, T, ...); a view where all series share."""
    return stack.transpose(0, 1).expand(series, *stack.shape[:1], *stack.shape[2:])


def affine_loop(start: Tensor, factor: Tensor, shift: Tensor, reverse: bool = False) -> Tensor:
    """All states of m_t = F_t m_{t-1} + f_t, from m_0.

    Parameters
    ----------
    start : Tensor (M, H, N)
        m_0.
    factor, shift : Tensor (T - 1, M, H, H) and (T - 1, M, H, N)
        F and f of the steps after it.
    reverse : bool
        Run from the last step, m_{T-1}, to the first: the other steps are those before it.

    Returns
    -------
    Tensor (T, M, H, N)
    """
    way = -1 if reverse else 1
    if len(start) == 1:
        states, factors, shifts = [start[0]], factor[:, 0].unbind(0), shift[:, 0].unbind(0)
        for F, f in zip(factors[::way], shifts[::way], strict=True):
            states.append(torch.addmm(f, F, states[-1]))
        return torch.stack(states[::way]).unsqueeze(1)
    states = [sets_last(start)]
    factors, shifts = sets_last(factor).unsqueeze(3).unbind(0), sets_last(shift).unbind(0)
    for F, f in zip(factors[::way], shifts[::way], strict=True):
        states.append((F * states[-1]).sum(1).add_(f))  # (H, H, 1, M) and (H, N, M)
    return sets_first(torch.stack(states[::way]))


def filter_means(
    model: LinearGaussian,
    covariances: Covariances,
    y: Tensor,
    effect: Tensor | None,
    recursion: Callable[[Tensor, Tensor, Tensor], Tensor] = affine_loop,
) -> tuple[Tensor, Tensor, Tensor]:
    """Predict and correct the means with known gains.

    ::

        m⁻_t = A_t m_{t-1} + B_t u_t,   e_t = y_t − C_t m⁻_t,   m_t = m⁻_t + K_t e_t

    is one affine map of m_{t-1}, with the factor (I − K_t C_t) A_t, which is all that a recursion over time
    applies.

    Parameters
    ----------
    covariances : Covariances
        A, C and K.
    y : Tensor (B, T, D)
        0 where missing.
    effect : Tensor (B, T, H), or None
        B u.
    recursion : function (start, factor, shift) -> Tensor (T, M, H, N)
        What applies the maps: `affine_loop`, or a scan that equals it.

    Returns
    -------
    predicted, filtered, innovation : Tensor (T, M, H, N), (T, M, H, N) and (T, M, D, N)
    """
    A, C, gain = covariances.transition[1:], covariances.observation, covariances.gain
    shared = covariances.shared
    directions = diffuse_directions(model)
    start = as_columns(model.initial_mean.expand(len(y), -1).unsqueeze(1), shared)
    start = torch.cat([start, directions.expand(1, start.shape[1], -1, -1)], -1)
    y = _pad_for_directions(as_columns(y, shared), directions)
    first = start + product(gain[:1], y[:1] - product(C[:1], start))
    later, CA = gain[1:], product(C[1:], A)
    shift = product(later, y[1:])
    if effect is not None:
        effect = _pad_for_directions(as_columns(effect[:, 1:], shared), directions)
        shift = shift + effect - product(later, product(C[1:], effect))
    filtered = recursion(first[0], A - product(later, CA), shift)
    moved = product(A, filtered[:-1])
    predicted = join_steps([start, moved if effect is None else moved + effect])
    return predicted, filtered, torch.where(covariances.seen, y - product(C, predicted), 0.0)


def _pad_for_directions(columns: Tensor, directions: Tensor) -> Tensor:
    """Columns (T, M, n, N), followed by the k of zeros that the columns of a flat prior see instead."""
    unknown = directions.shape[1]
    return pad(columns, (0, unknown)) if unknown else columns
