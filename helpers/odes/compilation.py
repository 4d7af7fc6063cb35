"""Steps compiled by torch.compile: the field, the sums over stages and the judgement in few kernels."""

from collections.abc import Callable
from functools import cache

import torch

MOST_VARIANTS = 64
"""After so many fields, shapes, dtypes and gradient modes, torch runs further ones uncompiled, and warns."""


@cache
def compiled(function: Callable) -> Callable:
    """`take_step` or `judged`, compiled when first called with a field, method, shape or dtype.

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
    return torch.compile(function, dynamic=False, isolate_recompiles=True, recompile_limit=MOST_VARIANTS)
