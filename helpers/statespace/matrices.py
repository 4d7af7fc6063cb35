"""Covariances: what makes a matrix one, how a bad one is refused, its logarithm and its root."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.arguments import check_finite, check_floating, entry, refuse_where

LARGEST_ELIMINATED = 4  # rows; stacks of such matrices are faster eliminated row by row than one by one


def symmetric(matrix: Tensor) -> Tensor:
    """The symmetric part (M + Mᵀ) / 2, which removes what rounding added."""
    return (matrix + matrix.mT).mul_(0.5)


def spectral_radius(A: Tensor) -> Tensor:
    """The largest modulus of an eigenvalue of each matrix (..., H, H), shape (...).

    Raises
    ------
    ValueError
        If A is not square, is empty, or is not finite.
    """
    check_square("A", A, least=1)
    check_finite("A", A)  # of NaN, LAPACK may bring down the process
    return torch.linalg.eigvals(A).abs().amax(-1)


# What is refused.


def check_precision(name: str, tensor: Tensor) -> None:
    """Refuse anything but float32 and float64: LAPACK knows no other real numbers."""
    check_floating(name, tensor)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64: got {tensor.dtype}")


def check_square(name: str, matrix: Tensor, least: int = 0) -> None:
    """Refuse anything but a stack of square matrices of at least so many rows, in float32 or float64."""
    check_precision(name, matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"{name} must be square: got shape {tuple(matrix.shape)}")
    if matrix.shape[-1] < least:
        raise ValueError(f"{name} must have at least {least} row: got shape {tuple(matrix.shape)}")


def check_shape(name: str, tensor: Tensor, expected: dict[str, int | None], because: str) -> None:
    """Refuse a tensor whose last dimensions are not `expected`, as in {"D": 2, "H": None}; None is free."""
    sizes = list(expected.values())
    found = list(tensor.shape[tensor.ndim - len(sizes) :])
    if tensor.ndim < len(sizes) or any(n is not None and n != m for n, m in zip(sizes, found, strict=True)):
        wanted = ", ".join(letter if size is None else str(size) for letter, size in expected.items())
        raise ValueError(
            f"{name} must have shape (…, {', '.join(expected)}) = (…, {wanted}) {because}: "
            f"got {tuple(tensor.shape)}"
        )


def place(index: tuple[int, ...]) -> str:
    """Where a matrix stands in a stack (T, ...) or (B, T, ...), in words; empty for one that stands alone."""
    match index:
        case ():
            return ""
        case (step,):
            return f" at step {step}"
        case _:
            return f" of series {index[0]} at step {index[1]}"


@torch.no_grad()
def check_covariance(name: str, matrix: Tensor, where: Callable[[tuple[int, ...]], str] = place) -> None:
    """Refuse a stack (..., H, H) unless each is finite, symmetric and positive semi-definite.

    Each entry is judged beside √(Σ_ii Σ_jj), since components may have units far apart. A Cholesky
    factorisation decides where it can; eigenvalues are found only for matrices that have none.
    """
    correlation, slack = check_symmetric(name, matrix, where), lost(matrix.dtype)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    if not torch.linalg.cholesky_ex(correlation + slack * identity).info.any():
        return
    smallest = torch.linalg.eigvalsh(correlation)[..., 0]
    refuse_where(
        smallest < -slack,
        lambda *i: f"{name} must be positive semi-definite: {_blame(matrix[i], smallest[i])}{where(i)}",
    )


def _blame(covariance: Tensor, smallest: Tensor) -> str:
    """Which eigenvalue says that a matrix is no covariance: its own, unless that is lost beside others."""
    own = smallest_eigenvalue(covariance)
    if own < 0:
        return f"its smallest eigenvalue is {own:.3g}"
    return f"the smallest eigenvalue of its correlations is {smallest:.3g}"


@torch.no_grad()
def check_symmetric(name: str, matrix: Tensor, where: Callable[[tuple[int, ...]], str] = place) -> Tensor:
    """Refuse a stack (..., H, H) unless each is finite and equals its transpose but for rounding.

    Returns the correlations, by which that is judged.
    """
    check_square(name, matrix)
    check_finite(name, matrix)
    correlation = _correlations(matrix)
    differs = ((correlation - correlation.mT).abs() > lost(matrix.dtype)).flatten(-2).any(-1)
    refuse_where(
        differs,
        lambda *i: (
            f"{name} must be symmetric: it differs from its transpose by "
            f"{(matrix[i] - matrix[i].mT).abs().max().item():.3g}{where(i)}"
        ),
    )
    return correlation


def lost(dtype: torch.dtype) -> float:
    """Of a sum of terms of size 1, what has lost three quarters of its digits to rounding."""
    return torch.finfo(dtype).eps ** 0.75


@torch.no_grad()
def is_positive_definite(matrix: Tensor) -> Tensor:
    """Whether each covariance of a stack (..., D, D) is positive definite by more than rounding, shape (...).

    The smallest eigenvalue of the correlations, which know no units, must be more than is `lost`. As all D of
    them sum to D, it is at least the determinant over e; only where that decides nothing are eigenvalues
    found.
    """
    if matrix.shape[-1] == 0:
        return torch.ones(matrix.shape[:-2], dtype=torch.bool, device=matrix.device)
    correlation = _correlations(matrix)
    positive = (matrix.diagonal(dim1=-2, dim2=-1) > 0).all(-1) & correlation.isfinite().flatten(-2).all(-1)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    correlation = torch.where(positive[..., None, None], correlation, identity)
    least = lost(matrix.dtype)
    log_determinant = whiten(correlation, correlation[..., :0])[1].squeeze(-1)
    definite = positive & (log_determinant > 1 + math.log(least))  # NaN is not
    doubtful = positive & ~definite
    if doubtful.any():
        definite[doubtful] = torch.linalg.eigvalsh(correlation[doubtful])[..., 0] > least
    return definite


def _correlations(covariance: Tensor) -> Tensor:
    """Σ_ij / √(Σ_ii Σ_jj), at most ±2, which no covariance has; NaN where not finite.

    A variance of 0 divides as the smallest normal number does, so that what stands beside it becomes ±2; a
    negative variance becomes −1.
    """
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    scale = variance.abs().clamp(min=torch.finfo(variance.dtype).tiny).rsqrt()
    return (scale.unsqueeze(-1) * covariance * scale.unsqueeze(-2)).clamp(-2.0, 2.0)


# Quadratic forms.


def whiten(covariance: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Columns z with zᵀ z = xᵀ S⁻¹ x, and log |S|.

    Parameters
    ----------
    covariance : Tensor (..., D, D)
        S, positive definite.
    columns : Tensor (..., D, N)
        x.

    Returns
    -------
    whitened, log_determinant : Tensor (..., D, N) and (..., 1)
    """
    if covariance.shape[-1] <= LARGEST_ELIMINATED:
        return _eliminate(covariance, columns)
    root, failed = torch.linalg.cholesky_ex(covariance)
    root = torch.where(failed[..., None, None] > 0, torch.nan, root)
    whitened = torch.linalg.solve_triangular(root, columns, upper=False)
    return whitened, 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)


def _eliminate(covariance: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Gaussian elimination, one row after the other; each pivot is a conditional variance."""
    size = covariance.shape[-1]
    rest = torch.cat([covariance, columns], -1)
    whitened, log_determinant = [], 0.0
    for left in range(size, 0, -1):
        pivot = rest[..., :1, :1]
        whitened.append(rest[..., :1, left:] / pivot.sqrt())
        log_determinant = log_determinant + pivot[..., 0].log()
        rest = rest[..., 1:, 1:] - rest[..., 1:, :1] * (rest[..., :1, 1:] / pivot)
    return torch.cat(whitened, -2), log_determinant


# A covariance that may be singular, and whose components may have units far apart.


def principal_correlations(covariance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standard deviations s, eigenvalues and eigenvectors of the correlations, and which of them vanish.

    ::

        Σ = diag(s) V diag(λ) Vᵀ diag(s)

    Parameters
    ----------
    covariance : Tensor (H, H)

    Returns
    -------
    deviation, values, vectors, vanish : Tensor (H, 1), (H,), (H, H) and (H,), bool
        s is 1 where the variance is 0.
    """
    variance = covariance.diagonal()
    deviation = torch.where(variance > 0, variance, 1.0).sqrt().unsqueeze(-1)
    values, vectors = torch.linalg.eigh(covariance / deviation / deviation.mT)
    return deviation, values, vectors, values <= 8 * len(values) * torch.finfo(values.dtype).eps


def square_root(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix M with M Mᵀ = the covariance (H, H), which may be singular, and its inverse on Σ's range."""
    deviation, values, vectors, vanish = principal_correlations(covariance)
    root = torch.where(vanish, 0.0, values).sqrt()
    inverse = torch.where(vanish, 0.0, 1 / root)
    return deviation * vectors * root, (vectors * inverse).mT / deviation.mT


# Covariances as vectors without constraints, so that an optimiser may go anywhere.


def unconstrained_from_covariance(covariance: Tensor) -> Tensor:
    """Write a covariance as a vector of numbers that know no bounds.

    ::

        Σ = L Lᵀ,   L = diag(exp(d)) (I + S)

    The vector is d, followed by the rows of S, which is strictly lower triangular. Measured in another unit,
    a component only shifts its own entry of d, so that an optimiser needs no hint of the scale. exp(d_i) is
    the standard deviation of component i that is left once those before it are known.

    Parameters
    ----------
    covariance : Tensor (..., N, N)

    Returns
    -------
    Tensor (..., N (N + 1) / 2)

    Raises
    ------
    ValueError
        If it is not square, is empty, not finite, not symmetric, or not positive definite, with its smallest
        eigenvalue.

    Source: Pinheiro and Bates (1996), Unconstrained parametrizations for variance-covariance matrices,
    Statistics and Computing 6, section 2.2 (log-Cholesky; here with scaled rows).
    """
    check_square("covariance", covariance, least=1)
    factor = cholesky_factor(covariance, "covariance")
    deviation = factor.diagonal(dim1=-2, dim2=-1)
    rows, columns = _below_the_diagonal(covariance.shape[-1], covariance.device)
    below = (factor / deviation.unsqueeze(-1))[..., rows, columns]
    return torch.cat([deviation.log(), below], -1)


def covariance_from_unconstrained(unconstrained: Tensor) -> Tensor:
    """Undo `unconstrained_from_covariance`: from (..., N (N + 1) / 2) to a positive definite (..., N, N).

    Raises
    ------
    ValueError
        If no N fits the length of the vector, or a number of the covariance would lie beyond those that the
        dtype has.
    """
    check_precision("unconstrained", unconstrained)
    length = unconstrained.shape[-1] if unconstrained.ndim else 0
    size = (math.isqrt(8 * length + 1) - 1) // 2
    if length == 0 or size * (size + 1) // 2 != length:
        raise ValueError(f"unconstrained must have N (N + 1) / 2 entries, 1, 3, 6, 10 …: got {length}")
    check_finite("unconstrained", unconstrained)
    rows, columns = _below_the_diagonal(size, unconstrained.device)
    unit = torch.eye(size, dtype=unconstrained.dtype, device=unconstrained.device)
    unit = unit.repeat(*unconstrained.shape[:-1], 1, 1)
    unit[..., rows, columns] = unconstrained[..., size:]
    factor = unconstrained[..., :size].exp().unsqueeze(-1) * unit
    covariance = factor @ factor.mT
    fits = (covariance.isfinite().all(-1) & (covariance.diagonal(dim1=-2, dim2=-1) > 0)).detach()
    refuse_where(
        ~fits,
        lambda *i: (
            f"unconstrained must give variances that {unconstrained.dtype} holds: "
            f"got {entry('covariance', covariance, *i, i[-1])}"
        ),
    )
    return covariance


def cholesky_factor(covariance: Tensor, name: str) -> Tensor:
    """The lower triangular L with L Lᵀ = Σ; a Σ that has none, or is not symmetric, is refused by `name`."""
    check_symmetric(name, covariance)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        smallest = smallest_eigenvalue(covariance)
        raise ValueError(f"{name} must be positive definite: its smallest eigenvalue is {smallest:.3g}")
    return factor


@torch.no_grad()
def smallest_eigenvalue(covariance: Tensor) -> float:
    """The smallest of all eigenvalues of a stack of covariances; NaN if an entry is not finite."""
    if not covariance.isfinite().all():
        return math.nan
    return torch.linalg.eigvalsh(covariance).min().item()


def _below_the_diagonal(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.tril_indices(size, size, -1, device=device).unbind()
