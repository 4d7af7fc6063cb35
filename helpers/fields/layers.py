"""Feedforward layers: smooth activations, each with its slope, and the chain rule through them."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

Function = Callable[[Tensor], Tensor]


def softplus(z: Tensor) -> Tensor:
    """ln(1 + eᶻ), positive everywhere."""
    # PyTorch continues with z itself from z = 20 on, a jump of 2e-9; at 40 it is below float64's rounding.
    return functional.softplus(z, threshold=40.0)


def tanh_slope(z: Tensor) -> Tensor:
    """1 - tanh² z."""
    return 1 - torch.tanh(z).square()


def silu_slope(z: Tensor) -> Tensor:
    """s + z s (1 - s), with s = 1 / (1 + e⁻ᶻ)."""
    s = torch.sigmoid(z)
    return s + z * s * (1 - s)


def gelu_slope(z: Tensor) -> Tensor:
    """Φ(z) + z φ(z), with the normal distribution Φ and its density φ."""
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(z) + z * density


SMOOTH_ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "tanh": (torch.tanh, tanh_slope),
    "softplus": (softplus, torch.sigmoid),
    "silu": (functional.silu, silu_slope),
    "gelu": (functional.gelu, gelu_slope),
    "sin": (torch.sin, torch.cos),
}


def activation_and_slope(name: str) -> tuple[Function, Function]:
    """The smooth activation φ of that name, and its slope φ'.

    Raises
    ------
    ValueError
        If there is none of that name. The kink of ReLU is why it is not among them: a Runge-Kutta method has
        its order only where the field has as many continuous derivatives.
    """
    if not isinstance(name, str) or name not in SMOOTH_ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(SMOOTH_ACTIVATIONS)}: got {name!r}; "
            "a field with kinks, as relu makes, costs an ODE solver its order and adaptive steps their length"
        )
    return SMOOTH_ACTIVATIONS[name]


def chain_jacobian(
    hidden: Iterable[nn.Linear], readout: nn.Linear, phi: Function, slope: Function, z: Tensor, variables: int
) -> Tensor:
    """∂f/∂(z's first `variables` entries) (..., D_out, variables) of f = W_out z_L + b_out.

    ::

        a_l = W_l z_{l-1} + b_l,   z_l = φ(a_l)
        J = W_out diag(φ'(a_L)) W_L ⋯ diag(φ'(a_1)) W_1
    """
    ones = torch.eye(variables, z.shape[-1], dtype=z.dtype, device=z.device)
    tangents = ones.expand(*z.shape[:-1], -1, -1)  # (..., variables, units): rows, as z is a row
    for layer in hidden:
        a = layer(z)
        tangents = slope(a).unsqueeze(-2) * functional.linear(tangents, layer.weight)
        z = phi(a)
    return functional.linear(tangents, readout.weight).mT
