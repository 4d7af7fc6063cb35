"""Starting values for W_hh, and constraints that hold throughout training.

The spectral radius ρ, the largest |eigenvalue|, decides how a product W⋯W grows in the long run; the spectral
norm ‖W‖₂, the largest singular value, how much a single step can stretch. ρ ≤ ‖W‖₂, and the two are equal for
normal matrices, orthogonal ones among them.

Starting values are drawn in place, as by `torch.nn.init`. Constraints are parametrisations of
`torch.nn.utils.parametrize`: what is trained is an unconstrained matrix V, and the weight that the network
uses is a function of it. PyTorch's own `spectral_norm` can be used on a cell just as well: it fixes the norm
at 1, by power iteration, whereas `bound_spectral_norm` leaves smaller norms alone and is exact.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import init
from torch.nn.utils import parametrizations, parametrize

from helpers.arguments import check_finite, check_fits, check_positive_number, check_single_or_double
from helpers.statespace import spectral_radius


@torch.no_grad()
def orthogonal_(weight: Tensor, gain: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill a square matrix with `gain` times a random orthogonal one: all its singular values are `gain`.

    Parameters
    ----------
    weight : Tensor (H, H)
    gain : float
    generator : torch.Generator, optional

    Raises
    ------
    ValueError
        If the matrix is not square, or the gain not positive or no number of its dtype.

    Source: Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks, ICLR.
    """
    _check_start(weight, "gain", gain)
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
        If the matrix is not square or the radius not positive or no number of its dtype.

    Source: Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks,
    GMD report 148.
    """
    _check_start(weight, "radius", radius)
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
        If the matrix is not square or the norm not positive or no number of its dtype.
    """
    _check_start(weight, "norm", norm)
    weight.normal_(generator=generator)
    return weight.mul_(norm / _spectral_norm(weight))


def keep_orthogonal(model: nn.Module, name: str = "W_hh") -> None:
    """Keep a square weight orthogonal, so that it neither shrinks nor stretches any state or gradient.

    ::

        W = Q₀ exp(L - Lᵀ),   L = lower triangle of V

    with PyTorch's own `orthogonal` parametrisation. A weight that is not orthogonal yet becomes the
    orthogonal factor of its QR decomposition.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    name : str
        Which of its weights.

    Raises
    ------
    ValueError
        If the model has no such square weight, or it is not finite.

    Source: Lezcano-Casado and Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, ICML.
    """
    _check_square_weight(model, name)
    parametrizations.orthogonal(model, name)


def bound_spectral_norm(model: nn.Module, bound: float, name: str = "W_hh") -> None:
    """Keep ‖W‖₂ at or below a bound, so that with |φ'| ≤ 1 no step can stretch a gradient by more.

    ::

        W = V · min(1, bound / ‖V‖₂)

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    bound : float
        The largest norm allowed.
    name : str
        Which of its weights.

    Raises
    ------
    ValueError
        If the model has no such square weight, it is not finite, or the bound is not positive.
    """
    _register(model, name, _UpperBound(_spectral_norm, bound))


def bound_spectral_radius(model: nn.Module, bound: float, name: str = "W_hh") -> None:
    """Keep the spectral radius ρ(W) at or below a bound: no linear network explodes then in the long run.

    ::

        W = V · min(1, bound / ρ(V))

    Over a few steps it still can, if W is not normal: ‖W‖₂ may exceed ρ(W) by any factor.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    bound : float
        The largest radius allowed.
    name : str
        Which of its weights.

    Raises
    ------
    ValueError
        If the model has no such square weight, it is not finite, or the bound is not positive.
    """
    _register(model, name, _UpperBound(spectral_radius, bound))


class _UpperBound(nn.Module):
    """Scale a matrix down until a measure of its size is at most `bound`."""

    def __init__(self, size: Callable[[Tensor], Tensor], bound: float) -> None:
        super().__init__()
        check_positive_number("bound", bound)
        self.size, self.bound = size, bound

    def forward(self, free: Tensor) -> Tensor:
        size = self.size(free)
        return torch.where(size > self.bound, free * (self.bound / size), free)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def _spectral_norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, ord=2)


def _register(model: nn.Module, name: str, parametrization: nn.Module) -> None:
    _check_square_weight(model, name)
    parametrize.register_parametrization(model, name, parametrization)


def _check_start(weight: Tensor, name: str, value: float) -> None:
    check_single_or_double("weight", weight)
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1] or not len(weight):
        raise ValueError(f"weight must be a square matrix: got shape {tuple(weight.shape)}")
    check_positive_number(name, value)
    check_fits(name, value, weight.dtype)


def _check_square_weight(model: nn.Module, name: str) -> None:
    weight = getattr(model, name, None) if isinstance(name, str) else None
    if not isinstance(weight, Tensor) or weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        found = tuple(weight.shape) if isinstance(weight, Tensor) else weight
        raise ValueError(f"name must be that of a square weight of the model: {name!r} is {found}")
    check_single_or_double(name, weight)
    check_finite(name, weight)
