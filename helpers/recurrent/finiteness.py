"""When and where a state stopped being a number."""

import torch
from torch import Tensor

from helpers.recurrent.arguments import check_sequence


def first_non_finite(states: Tensor) -> Tensor:
    """Index of each series' first step with an infinity or NaN, -1 where there is none.

    Parameters
    ----------
    states : Tensor (B, T, S)

    Returns
    -------
    Tensor of int64, shape (B,)

    Raises
    ------
    ValueError
        If the shape is another.
    """
    check_sequence("states", states, "S")
    broken = ~states.isfinite().all(-1)  # (B, T)
    never = broken.new_ones(len(states), 1)
    first = torch.cat([broken, never], dim=1).int().argmax(1)
    return torch.where(first == states.shape[1], -1, first)


def check_finite(states: Tensor, name: str = "states") -> None:
    """Refuse states, or any other sequence, that hold an infinity or NaN, and say where they began.

    Parameters
    ----------
    states : Tensor (B, T, S)
    name : str
        What to call it in the message.

    Raises
    ------
    FloatingPointError
        Naming the earliest step that broke, its first series and unit, and how many series are affected.
    ValueError
        If the shape is another.
    """
    first = first_non_finite(states)
    broken = first >= 0
    if not broken.any():
        return
    series = int(torch.where(broken, first, states.shape[1]).argmin())
    step = int(first[series])
    unit = int((~states[series, step].isfinite()).nonzero()[0])
    raise FloatingPointError(
        f"{name} must be finite: {name}[{series}, {step}, {unit}] = {states[series, step, unit].item()} "
        f"is the earliest that is not; {int(broken.sum())} of {len(states)} series are affected"
    )
