"""The rate constants of reactions, one for each, checked."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from helpers.systems.reactions import Reaction


def rate_constants(constants: float | Sequence[float] | Tensor, steps: tuple[Reaction, ...]) -> Tensor:
    """The constants as a tensor (R,) or (B, R); numbers in float64, so that no digit is lost.

    Raises
    ------
    ValueError
        If they are no numbers, not one for each reaction, negative, infinite or NaN.
    """
    if not isinstance(constants, Tensor):
        numbers = [constants] * len(steps) if isinstance(constants, Real) else constants
        _check_numbers(numbers)
        constants = torch.tensor(numbers, dtype=torch.float64)
    if not constants.is_floating_point():
        raise ValueError(f"constants must be floating point: got a {constants.dtype} tensor")
    constants = constants.expand(len(steps)) if constants.ndim == 0 else constants
    if constants.ndim > 2 or constants.shape[-1] != len(steps):
        listed = ", ".join(map(str, steps))
        raise ValueError(
            f"constants must have shape (R,) or (B, R) with R = {len(steps)}, one for each of {listed}: "
            f"got shape {tuple(constants.shape)}"
        )
    _check_not_negative(constants, steps)
    return constants


def _check_numbers(numbers: Sequence[float]) -> None:
    for place, number in enumerate(numbers):
        if not isinstance(number, Real):
            raise ValueError(
                f"constants must be a number, a list of numbers or one tensor: "
                f"constants[{place}] is a {type(number).__name__}"
            )


def _check_not_negative(constants: Tensor, steps: tuple[Reaction, ...]) -> None:
    valid = constants.isfinite() & (constants >= 0)
    if valid.all():
        return
    place = (~valid).nonzero()[0].tolist()
    raise ValueError(
        f"constants must be finite and not negative: constants{place} = {constants[tuple(place)].item():g}, "
        f"of {steps[place[-1]]}"
    )
