"""A step compiled by torch.compile: the field and the sums over stages in few kernels."""

from collections.abc import Callable
from functools import cache

import torch

from helpers.odes.stepper import Step, take_step


@cache
def compiled_step() -> Callable[..., Step]:
    """`take_step`, compiled at the first call with each field, method, shape and dtype.

    Raises
    ------
    ValueError
        If there is no C++ compiler, which torch.compile needs on a CPU and around the kernels of a GPU.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler  # slow to import, and seldom wanted
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ValueError(
            "compile=True needs a C++ compiler, and none was found: install g++ or clang++, or name one "
            "in the environment variable CXX"
        ) from error
    return torch.compile(take_step, dynamic=False, isolate_recompiles=True)
