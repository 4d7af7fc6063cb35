"""Matrices diag(e^s) U whose rows differ in size by more than a float can hold, and their singular values."""

import torch
from torch import Tensor

QR_SWEEPS = 4
"""QR decompositions before the first Jacobi sweep: they halve the number of sweeps needed."""


def log_singular_values(log_scale: Tensor, rows: Tensor) -> Tensor:
    """Return log σ of diag(e^s) U, in descending order, each to a small relative error of σ.

    After a few QR decompositions, rows are turned against each other in pairs until all are orthogonal; then
    their lengths are the singular values. Pairs that do not share a row are turned together.

    Parameters
    ----------
    log_scale : Tensor (B, S)
        s, in descending order; -∞ for a row of zeros.
    rows : Tensor (B, S, S)
        U, finite.

    Returns
    -------
    Tensor (B, S)

    Source: Demmel and Veselić (1992), Jacobi's method is more accurate than QR, SIAM Journal on Matrix
    Analysis and Applications 13:1204-1245.
    """
    for _ in range(QR_SWEEPS):
        log_scale, rows = _qr_sweep(log_scale, rows)
    small = torch.finfo(rows.dtype).eps ** 0.5  # a sweep squares the cosines that it finds
    rounds = [pairs.to(rows.device) for pairs in _round_robin(rows.shape[-1])]
    while (
        len(rows) and _jacobi_sweep(log_scale, rows, rounds) > small
    ):  # one poll per sweep, about five in all
        pass
    return (log_scale + torch.linalg.vector_norm(rows, dim=-1).log()).sort(dim=-1, descending=True).values


def sort_by_size(log_scale: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move each row's size into its scale and sort by it; return scale, rows and the rows' old places."""
    size = rows.abs().amax(-1)
    rows = rows / torch.where(size > 0, size, 1.0).unsqueeze(-1)
    log_scale, order = (log_scale + size.log()).sort(dim=-1, descending=True)
    return log_scale, rows.gather(-2, order.unsqueeze(-1).expand_as(rows)), order


def size_ratios(log_scale: Tensor) -> Tensor:
    """e^(s_j - s_i) for j ≥ i, which is at most 1, and 0 below the diagonal, (B, S, S)."""
    return (log_scale.unsqueeze(-2) - log_scale.unsqueeze(-1)).nan_to_num(0.0).exp().triu()


def _qr_sweep(log_scale: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Turn D U into D U' with the same singular values: (D U)ᵀ = Q R D = Q (D U') with U' = D⁻¹ R D."""
    log_scale, rows, _ = sort_by_size(log_scale, torch.linalg.qr(rows.mT).R * size_ratios(log_scale))
    return log_scale, rows


def _round_robin(size: int) -> list[Tensor]:
    """Split all pairs i < j into rounds in which no index appears twice: a tournament's timetable.

    Returns a Tensor (2, pairs) for each round, by the circle method: one player stays, the others move on.
    """
    players = list(range(size + size % 2))  # with an odd number, whoever meets the extra one rests
    half = len(players) // 2
    rounds = []
    for _ in range(size - 1 + size % 2 if size > 1 else 0):
        pairs = [sorted(pair) for pair in zip(players[:half], reversed(players[half:]), strict=True)]
        rounds.append(torch.tensor([pair for pair in pairs if pair[1] < size]).T)
        players[1:] = [players[-1], *players[1:-1]]
    return rounds


def _jacobi_sweep(log_scale: Tensor, rows: Tensor, rounds: list[Tensor]) -> Tensor:
    """Turn every pair once, in place, and return the largest |cosine| that a pair had before."""
    largest = rows.new_zeros(())
    for upper, lower in rounds:
        ratio = (log_scale[:, lower] - log_scale[:, upper]).nan_to_num(0.0).exp().unsqueeze(-1)  # ≤ 1
        rows[:, upper], rows[:, lower], cosine = _rotate(rows[:, upper], rows[:, lower], ratio)
        largest = torch.maximum(largest, cosine.amax())
    return largest


def _rotate(u: Tensor, v: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make u and ρ v orthogonal by a rotation, and return u, v and the |cosine| between them before.

    ::

        u ← c (u - t ρ v),   ρ v ← c (t u + ρ v),   t² + 2 ζ t = 1,   ζ = (|ρ v|² - |u|²) / (2 ρ u·v)

    Written with τ = t / ρ, so that nothing is ever divided by ρ: it may have underflowed to zero.
    """
    u_squared, v_squared, product = ((a * b).sum(-1, keepdim=True) for a, b in ((u, u), (v, v), (u, v)))
    difference = ratio.square() * v_squared - u_squared
    sign = torch.where(difference < 0, -1.0, 1.0)
    root = torch.sqrt(difference.square() + (2 * ratio * product).square())
    tau = sign * _quotient(2 * product, difference.abs() + root)
    c = torch.rsqrt(1 + (tau * ratio).square())
    cosine = _quotient(product.abs(), torch.sqrt(u_squared * v_squared))
    return c * (u - tau * ratio.square() * v), c * (tau * u + v), cosine


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 0 where both are 0."""
    return numerator / torch.where(denominator > 0, denominator, 1.0)
