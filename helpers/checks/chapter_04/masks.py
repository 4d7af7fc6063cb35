"""Judging a function that returns masks: True and False become 1 and 0 before they are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType

import torch
from torch import Tensor

from helpers.checks.attempt import is_blank


def masks_as_numbers(function: object) -> object:
    """The function with masks as numbers among what it returns; a stub, or what is no function, as it is."""
    return function if is_blank(function) or not callable(function) else _Converted(function)


@dataclass(frozen=True)
class _Converted:
    function: Callable

    @property
    def __code__(self) -> CodeType:
        return self.function.__code__

    def __call__(self, *arguments, **named):
        returned = self.function(*arguments, **named)
        if isinstance(returned, tuple | list):
            return tuple(_as_number(value) for value in returned)
        return _as_number(returned)


def _as_number(value: object) -> object:
    is_mask = isinstance(value, Tensor) and value.dtype == torch.bool
    return value.float() if is_mask else value
