"""States split into their named variables, and Jacobians put together from their entries."""

import torch
from torch import Tensor


def split(y: Tensor, variables: tuple[str, ...]) -> tuple[Tensor, ...]:
    """One tensor (...,) for each variable of a state (..., D)."""
    check_variables(y, variables)
    return y.unbind(-1)


def check_variables(y: Tensor, variables: tuple[str, ...]) -> None:
    """Refuse a state that does not end in as many entries as there are variables."""
    if y.ndim == 0 or y.shape[-1] != len(variables):
        names = ", ".join(variables)
        raise ValueError(
            f"y must end in the {len(variables)} variables ({names}): got shape {tuple(y.shape)}"
        )


def matrix(rows: list[list[Tensor]]) -> Tensor:
    """Stack entries of shape (...,) into matrices (..., D, D)."""
    return torch.stack([torch.stack(torch.broadcast_tensors(*row), dim=-1) for row in rows], dim=-2)
