"""Constraints that hold throughout training, as parametrisations of `torch.nn.utils.parametrize`.

What is trained is an unconstrained matrix V; the weight that the network uses is a function of it. PyTorch's
own `spectral_norm` can be used on a cell just as well: it fixes the norm at 1, by power iteration, whereas
`bound_spectral_norm` leaves smaller norms alone and is exact.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from helpers.recurrent.initialisation import spectral_radius


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
        If the model has no such square weight.

    Source: Lezcano-Casado and Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, ICML.
    """
    _check_square(model, name)
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
        If the model has no such square weight or the bound is not positive.
    """
    _register(model, name, _Bounded(_spectral_norm, bound))


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
        If the model has no such square weight or the bound is not positive.
    """
    _register(model, name, _Bounded(spectral_radius, bound))


class _Bounded(nn.Module):
    """Scale a matrix down to where a measure of its size is at most `bound`."""

    def __init__(self, size: Callable[[Tensor], Tensor], bound: float) -> None:
        super().__init__()
        if not 0.0 < bound < float("inf"):
            raise ValueError(f"bound must be positive and finite: got {bound}")
        self.size, self.bound = size, bound

    def forward(self, free: Tensor) -> Tensor:
        size = self.size(free)
        return torch.where(size > self.bound, free * (self.bound / size), free)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def _spectral_norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, ord=2)


def _register(model: nn.Module, name: str, parametrization: nn.Module) -> None:
    _check_square(model, name)
    parametrize.register_parametrization(model, name, parametrization)


def _check_square(model: nn.Module, name: str) -> None:
    weight = getattr(model, name, None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        found = tuple(weight.shape) if isinstance(weight, Tensor) else weight
        raise ValueError(f"name must be that of a square weight of the model: {name!r} is {found}")
