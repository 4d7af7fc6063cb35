"""Covariances that a step no longer changes, without observations and with them, by doubling."""

import torch
from torch import Tensor

from helpers.arguments import check_broadcastable, check_finite, check_like
from helpers.statespace.gaussian.step import predict_covariance, update_covariance
from helpers.statespace.matrices import (
    check_covariance,
    check_shape,
    check_square,
    cholesky_factor,
    is_positive_definite,
    spectral_radius,
    symmetric,
)

MAX_DOUBLINGS = 60
MAX_STEPS = 1000  # of the filter itself, behind the doublings


def stationary_covariance(A: Tensor, Q: Tensor) -> Tensor:
    """The covariance that a step does not change, by doubling.

    ::

        P = A P Aᵀ + Q = Σ_{k ≥ 0} A^k Q (A^k)ᵀ,   P_{2n} = P_n + A^n P_n (A^n)ᵀ

    where P_n is the sum of the first n terms: the error after j doublings is of the order of ρ(A)^(2^(j+1)).

    Parameters
    ----------
    A, Q : Tensor (..., H, H)

    Raises
    ------
    ValueError
        If a shape or dtype is wrong, Q is no covariance, the spectral radius of A is not below 1, or the sum
        grows beyond the largest number on its way.

    Source: Anderson and Moore (1979), Optimal filtering, section 6.7.
    """
    radius = spectral_radius(A)
    check_covariance("Q", Q)
    check_like("Q", Q, "A", A)
    check_shape("Q", Q, {"H": A.shape[-1], "H ": A.shape[-1]}, "as A does")
    check_broadcastable("Q", Q.shape, "A", A.shape)
    if not (radius < 1).all():
        raise ValueError(
            "A must have a spectral radius below 1, as a stationary process needs a transition of spectral "
            f"radius below 1: got {radius.max():.10g}"
        )
    covariance, power = Q, A
    for _ in range(MAX_DOUBLINGS):
        added = power @ covariance @ power.mT
        covariance, power = covariance + added, power @ power
        if _is_rounding(added, covariance):  # one poll per doubling
            break
    _check_held("A and Q", covariance)
    return symmetric(covariance)


@torch.no_grad()
def _is_rounding(added: Tensor, covariance: Tensor, units: int = 1) -> bool:
    """Whether no entry is more than so many units in the last place of √(P_ii P_jj), or one is NaN."""
    deviation = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    slack = units * torch.finfo(added.dtype).eps * deviation.unsqueeze(-1) * deviation.unsqueeze(-2)
    return not bool((added.abs() > slack).any())


def _check_held(names: str, covariance: Tensor) -> None:
    """Refuse a covariance that grew beyond the largest number of its dtype."""
    if not covariance.isfinite().all():
        raise ValueError(f"{names} must give a covariance that {covariance.dtype} holds: it grew beyond")


@torch.no_grad()
def steady_state_covariance(A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Tensor:
    """The predicted covariance that the filter settles to: the algebraic Riccati equation, by doubling.

    ::

        P = A (P − P Cᵀ (C P Cᵀ + R)⁻¹ C P) Aᵀ + Q

    With V the covariance of the state n steps after it was known exactly, J what those n observations say
    about that known state, and F the filter's memory of it::

        G = (I + V J)⁻¹,   F ← F G F,   V ← V + F G V Fᵀ,   J ← J + Fᵀ J G F

    are the same for 2n steps. F vanishes like ρ((I − K C) A)^n, and V is then the filtered covariance. No
    inverse of R is needed: a state may be seen without noise.

    Parameters
    ----------
    A, C, Q, R : Tensor (H, H), (D, H), (H, H) and (D, D)

    Returns
    -------
    Tensor (H, H)

    Raises
    ------
    ValueError
        If a shape or dtype is wrong, Q or R is no covariance, C Q Cᵀ + R is not positive definite, or there
        is no filter that forgets its start: with the eigenvalue of A that is to blame.

    Source: Chu, Fan, Lin and Wang (2004), Structure-preserving algorithms for periodic discrete-time
    algebraic Riccati equations, International Journal of Control 77(8); the start, without an inverse of R,
    from Särkkä and García-Fernández (2021), section IV.
    """
    _check_system(A, C, Q, R)
    S, name = C @ Q @ C.mT + R, "the innovation covariance C Q C' + R"
    root = cholesky_factor(S, name)
    if not is_positive_definite(S):
        raise ValueError(f"{name} must be positive definite by more than rounding: its sensors read the same")
    seen = torch.linalg.solve_triangular(root, C, upper=False)  # C' S⁻¹ C = seen' seen
    identity = torch.eye(len(A), dtype=A.dtype, device=A.device)
    V, gain, _ = update_covariance(Q, C, R)
    F, J = A - gain @ C @ A, (seen @ A).mT @ (seen @ A)
    for _ in range(MAX_DOUBLINGS):
        G = torch.linalg.solve_ex(identity + V @ J, identity).result
        added = F @ G @ V @ F.mT
        F, V, J = F @ G @ F, V + added, J + F.mT @ J @ G @ F
        if _is_rounding(added, V):  # one poll per doubling; NaN ends
            break
    P = _settle(predict_covariance(V, A, Q), A, C, Q, R)
    _check_forgetting(A, C, Q, R, P)
    return symmetric(P)


def _settle(P: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Tensor:
    """Filter on from P until it stands still: where P C Cᵀ is far above R, doubling leaves too few digits."""
    for _ in range(MAX_STEPS):
        before, P = P, predict_covariance(update_covariance(P, C, R)[0], A, Q)
        if _is_rounding(P - before, P, units=64):
            break
    return P


def _check_system(A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> None:
    """Refuse what are not the matrices of one constant model."""
    for name, matrix in {"A": A, "C": C, "Q": Q, "R": R}.items():
        check_like(name, matrix, "A", A)
        if matrix.ndim != 2:
            raise ValueError(f"{name} must be one matrix, with two axes: got shape {tuple(matrix.shape)}")
        check_finite(name, matrix)
    check_covariance("Q", Q)
    check_covariance("R", R)
    check_square("A", A)
    check_shape("C", C, {"D": len(R), "H": len(A)}, "as R and A do")
    check_shape("Q", Q, {"H": len(A), "H ": len(A)}, "as A does")


def _check_forgetting(A: Tensor, C: Tensor, Q: Tensor, R: Tensor, P: Tensor) -> None:
    """Refuse a P whose filter does not forget its start, saying which mode of A is to blame."""
    closed = A - update_covariance(P, C, R)[1] @ C @ A
    if closed.isfinite().all() and spectral_radius(closed) < 1 - 10 * torch.finfo(P.dtype).eps ** 0.5:
        return
    tiny = torch.finfo(A.dtype).tiny
    for eigenvalue in torch.linalg.eigvals(A):
        if eigenvalue.abs() < 1 - 1e-6:
            continue
        shifted = A / eigenvalue - torch.eye(len(A), dtype=A.dtype, device=A.device)
        for other, blind, reason in (
            (C, shifted, "is not seen in the observations (not detectable)"),
            (Q, shifted.mT, "receives no noise (not stabilisable)"),
        ):
            stacked = torch.cat([blind, (other / other.abs().max().clamp(min=tiny)).to(blind)])
            if torch.linalg.matrix_rank(stacked, rtol=1e-9) < len(A):
                raise ValueError(
                    f"the filter has no steady state: the mode of transition A with eigenvalue "
                    f"{complex(eigenvalue):.6g} {reason}"
                )
    raise ValueError(
        f"the filter of A, C, Q and R did not settle to a steady state in {MAX_DOUBLINGS} doublings"
    )
