"""The derivative of what feedforward layers compute."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from helpers.fields.activations import Function


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
        tangents = slope(a).unsqueeze(-2) * linear(tangents, layer.weight)
        z = phi(a)
    return linear(tangents, readout.weight).mT
