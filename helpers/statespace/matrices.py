"""What makes a matrix a covariance, and how a bad one is refused."""

import torch
from torch import Tensor

from helpers.arguments import refuse_where

SMALL = 4  # rows; many matrices of up to so many are faster eliminated row by row than matrix by matrix


def place(index: list[int]) -> str:
    """Where a matrix stands in a stack of them, in words; empty for a matrix that stands alone."""
    match index:
        case []:
            return ""
        case [step]:
            return f" at step {step}"
        case _:
            return f" of series {index[0]} at step {index[1]}"


def check_kind(name: str, tensor: Tensor, like: Tensor, like_name: str) -> None:
    """Refuse what is no floating-point tensor of the dtype and device of `like`."""
    if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
        found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ValueError(f"{name} must be a floating-point tensor: got {found}")
    if (tensor.dtype, tensor.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name} must have the dtype and device of {like_name}: "
            f"got {tensor.dtype} on {tensor.device} and {like.dtype} on {like.device}"
        )


def check_square(name: str, matrix: Tensor) -> None:
    """Refuse a stack of matrices that are not square."""
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"{name} must be square: got shape {tuple(matrix.shape)}")


def check_shape(name: str, tensor: Tensor, expected: dict[str, int | None], because: str) -> None:
    """Refuse a tensor whose last dimensions are not `expected`, as in {"D": 2, "H": None}; None is free."""
    sizes = list(expected.values())
    found = list(tensor.shape[tensor.ndim - len(sizes) :])
    if tensor.ndim < len(sizes) or any(n is not None and n != m for n, m in zip(sizes, found, strict=True)):
        wanted = ", ".join(name if size is None else str(size) for name, size in expected.items())
        raise ValueError(
            f"{name} must have shape (…, {', '.join(expected)}) = (…, {wanted}) {because}: "
            f"got {tuple(tensor.shape)}"
        )


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse NaN and infinities, naming the first."""
    refuse_where(
        ~tensor.isfinite(), lambda *i: f"{name} must be finite: {name}{list(i)} = {tensor[i].item()}"
    )


def tolerance(matrix: Tensor) -> Tensor:
    """What rounding may do to a covariance: eps^(3/4) of its largest entry, shape (...)."""
    return torch.finfo(matrix.dtype).eps ** 0.75 * matrix.abs().amax((-2, -1))


@torch.no_grad()
def check_covariance(name: str, matrix: Tensor, where=place) -> None:
    """Refuse a stack (..., H, H) unless each is finite, symmetric and positive semi-definite.

    A Cholesky factorisation decides where it can; eigenvalues are found only for matrices that have none.
    """
    check_square(name, matrix)
    check_finite(name, matrix)
    slack = tolerance(matrix)
    asymmetry = (matrix - matrix.mT).abs().amax((-2, -1))
    refuse_where(
        asymmetry > slack,
        lambda *i: (
            f"{name} must be symmetric: "
            f"it differs from its transpose by {asymmetry[i].item():.3g}{where(list(i))}"
        ),
    )
    raised = matrix + slack[..., None, None] * torch.eye(
        matrix.shape[-1], dtype=matrix.dtype, device=matrix.device
    )
    failed = torch.linalg.cholesky_ex(raised).info > 0
    if not failed.any():
        return
    smallest = torch.linalg.eigvalsh(matrix)[..., 0]
    refuse_where(
        smallest < -slack,
        lambda *i: (
            f"{name} must be positive semi-definite: "
            f"its smallest eigenvalue is {smallest[i].item():.3g}{where(list(i))}"
        ),
    )


@torch.no_grad()
def is_positive_definite(matrix: Tensor) -> Tensor:
    """Whether each matrix of a stack (..., D, D) has a Cholesky factor."""
    if matrix.shape[-1] > SMALL:
        return torch.linalg.cholesky_ex(matrix).info == 0
    return whiten(matrix, matrix[..., :0])[1].squeeze(-1).isfinite()


def symmetric(matrix: Tensor) -> Tensor:
    """The symmetric part (M + Mᵀ) / 2, which removes what rounding added."""
    return (matrix + matrix.mT).mul_(0.5)


def whiten(covariance: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    r"""Columns z with :math:`z^\top z = x^\top S^{-1} x`, and :math:`\log |S|`.

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
    if covariance.shape[-1] <= SMALL:
        return _eliminate(covariance, columns)
    root = torch.linalg.cholesky(covariance)
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
