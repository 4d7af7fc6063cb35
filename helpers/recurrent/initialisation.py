"""Starting values for W_hh, drawn in place as by `torch.nn.init`.

The spectral radius ρ, the largest |eigenvalue|, decides how a product W⋯W grows in the long run; the spectral
norm ‖W‖₂, the largest singular value, how much a single step can stretch. ρ ≤ ‖W‖₂, and the two are equal for
normal matrices, orthogonal ones among them.
"""

import torch
from torch import Generator, Tensor
from torch.nn import init


@torch.no_grad()
def orthogonal_(weight: Tensor, gain: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill a square matrix with `gain` times a random rotation: all its singular values are `gain`.

    Parameters
    ----------
    weight : Tensor (H, H)
    gain : float
    generator : torch.Generator, optional

    Raises
    ------
    ValueError
        If the matrix is not square or the gain not positive.

    Source: Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks, ICLR.
    """
    _check(weight, "gain", gain)
    return init.orthogonal_(weight, gain, generator=generator)


@torch.no_grad()
def spectral_radius_(weight: Tensor, radius: float, *, generator: Generator | None = None) -> Tensor:
    """Fill a square matrix with Gaussian numbers, scaled to a spectral radius.

    ::

        W = G · ρ / max|λ(G)|,   G_ij ~ N(0, 1)

    Parameters
    ----------
    weight : Tensor (H, H)
    radius : float
        ρ.
    generator : torch.Generator, optional

    Raises
    ------
    ValueError
        If the matrix is not square or the radius not positive.

    Source: Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks,
    GMD report 148.
    """
    _check(weight, "radius", radius)
    weight.normal_(generator=generator)
    return weight.mul_(radius / spectral_radius(weight))


@torch.no_grad()
def spectral_norm_(weight: Tensor, norm: float, *, generator: Generator | None = None) -> Tensor:
    """Fill a square matrix with Gaussian numbers, scaled to a spectral norm.

    ::

        W = G · ‖W‖₂ / ‖G‖₂,   G_ij ~ N(0, 1)

    Parameters
    ----------
    weight : Tensor (H, H)
    norm : float
        ‖W‖₂.
    generator : torch.Generator, optional

    Raises
    ------
    ValueError
        If the matrix is not square or the norm not positive.
    """
    _check(weight, "norm", norm)
    weight.normal_(generator=generator)
    return weight.mul_(norm / torch.linalg.matrix_norm(weight, ord=2))


def spectral_radius(matrix: Tensor) -> Tensor:
    """The largest |eigenvalue| of a square matrix, a scalar."""
    return torch.linalg.eigvals(matrix).abs().amax()


def _check(weight: Tensor, name: str, value: float) -> None:
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        raise ValueError(f"weight must be a square matrix: got shape {tuple(weight.shape)}")
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite: got {value}")
