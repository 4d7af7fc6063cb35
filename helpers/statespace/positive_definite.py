"""Covariances as vectors without constraints, so that an optimiser may go anywhere."""

from math import isqrt

import torch
from torch import Tensor


def unconstrained_from_covariance(covariance: Tensor) -> Tensor:
    r"""Write a covariance as a vector of numbers that know no bounds.

    .. math::
        \Sigma = L L^\top, \qquad L = \operatorname{diag}(e^{d}) (I + S)

    The vector is d, followed by the rows of S, which is strictly lower triangular. Measured in another unit,
    a component only shifts its own entry of d, so that an optimiser needs no hint of the scale.
    :math:`e^{d_i}` is the standard deviation of component i that is left once those before it are known.

    Parameters
    ----------
    covariance : Tensor (..., N, N)

    Returns
    -------
    Tensor (..., N (N + 1) / 2)

    Raises
    ------
    ValueError
        If it is not square, or not positive definite, with its smallest eigenvalue.

    Source: Pinheiro and Bates (1996), Unconstrained parametrizations for variance-covariance matrices,
    Statistics and Computing 6, section 2.2 (log-Cholesky; here with scaled rows).
    """
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
        If no N fits the length of the vector.
    """
    length = unconstrained.shape[-1] if unconstrained.ndim else 0
    size = (isqrt(8 * length + 1) - 1) // 2
    if length == 0 or size * (size + 1) // 2 != length:
        raise ValueError(f"unconstrained must have N (N + 1) / 2 entries, 1, 3, 6, 10 …: got {length}")
    rows, columns = _below_the_diagonal(size, unconstrained.device)
    unit = torch.eye(size, dtype=unconstrained.dtype, device=unconstrained.device)
    unit = unit.repeat(*unconstrained.shape[:-1], 1, 1)
    unit[..., rows, columns] = unconstrained[..., size:]
    factor = unconstrained[..., :size].exp().unsqueeze(-1) * unit
    return factor @ factor.mT


def cholesky_factor(covariance: Tensor, name: str) -> Tensor:
    """The lower triangular L with L Lᵀ = Σ; a Σ that has none is refused by `name`."""
    if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(f"{name} must be square: got shape {tuple(covariance.shape)}")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not torch.isfinite(factor).all() or failed.any():
        raise ValueError(f"{name} must be positive definite: {_smallest_eigenvalue(covariance.detach())}")
    return factor


def _smallest_eigenvalue(covariance: Tensor) -> str:
    if not covariance.isfinite().all():
        return "it is not finite"
    return f"its smallest eigenvalue is {torch.linalg.eigvalsh(covariance).min():.3g}"


def _below_the_diagonal(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.tril_indices(size, size, -1, device=device).unbind()
