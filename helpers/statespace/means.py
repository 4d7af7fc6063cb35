"""The half of the Kalman filter that reads the data: with gains known, a mean is predicted and corrected.

Vectors of series that share their matrices are columns of one matrix: (T, M, n, N) holds M sets of
matrices with N series each, where either M = 1 (the whole batch shares) or N = 1.
"""

import torch
from torch import Tensor


def as_columns(rows: Tensor, shared: bool) -> Tensor:
    """Vectors (B, T, n) as columns: (T, 1, n, B) if all series share their matrices, (T, B, n, 1) if not."""
    return rows.permute(1, 2, 0).unsqueeze(1) if shared else rows.transpose(0, 1).unsqueeze(-1)


def as_rows(columns: Tensor) -> Tensor:
    """Columns (T, M, n, N) as vectors (B, T, n), with B = M N."""
    steps, shared, size, series = columns.shape
    return columns.permute(1, 3, 0, 2).reshape(shared * series, steps, size)


def filter_means(
    initial: Tensor, transition: Tensor, observation: Tensor, gain: Tensor, drift: Tensor | None, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Predict and correct the mean with known gains.

    .. math:: m^-_t = A_t m_{t-1} + B_t u_t, \quad e_t = y_t - C_t m^-_t, \quad m_t = m^-_t + K_t e_t

    is one affine map of :math:`m_{t-1}`, which is all that the loop over time applies.

    Parameters
    ----------
    initial : Tensor (M, H, N)
        m_0, the first predicted mean.
    transition, observation : Tensor (H, H) and (D, H), or (T, M or 1, H, H) and (T, M or 1, D, H)
    gain : Tensor (T, M, H, D)
        0 in columns of missing entries.
    drift : Tensor (T, M, H, N), or None
    y : Tensor (T, M, D, N)

    Returns
    -------
    predicted, filtered : Tensor (T, M, H, N)
    """
    start = initial.unsqueeze(0)
    before = torch.zeros_like(start).expand(len(y) - 1, -1, -1, -1) if drift is None else drift[1:]
    before = torch.cat([start, before])
    closed_loop = transition - gain @ (observation @ transition)
    filtered = affine_scan(closed_loop, before + gain @ (y - observation @ before))
    leading = transition if transition.ndim == 2 else transition[1:]
    predicted = torch.cat([start, leading @ filtered[:-1] + before[1:]])
    return predicted, filtered


def affine_scan(factor: Tensor, shift: Tensor) -> Tensor:
    r"""All states of :math:`m_t = F_t m_{t-1} + f_t`, from :math:`m_0 = f_0`.

    Parameters
    ----------
    factor : Tensor (T, M, H, H)
    shift : Tensor (T, M, H, N)
    """
    state, *shifts = shift.unbind(0)
    states = [state]
    for F, f in zip(factor.unbind(0)[1:], shifts, strict=True):
        state = torch.baddbmm(f, F, state)
        states.append(state)
    return torch.stack(states)
