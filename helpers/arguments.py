"""The checks of arguments that several rooms share: what each refuses, it names, beside what it expected.

Where a tensor is expected, nothing else is taken: `check_tensor`, on which every check of a tensor stands,
says what came instead and how to convert it. A check that a single room needs stays in that room, and is
built from these.
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from inspect import signature
from math import isfinite, isnan
from numbers import Integral, Real

import torch
from torch import Tensor


def refuse_where(wrong: Tensor, message: Callable[..., str]) -> None:
    """Raise `ValueError(message(*index))` for the first index at which `wrong` is True."""
    if wrong.any():
        raise ValueError(message(*wrong.nonzero()[0].tolist()))


def kind(thing: object) -> str:
    """What a thing is, for messages."""
    return f"a {thing.dtype} tensor" if isinstance(thing, Tensor) else type(thing).__name__


def plain(thing: object) -> object:
    """A shape as a tuple; anything else as it is."""
    return tuple(thing) if isinstance(thing, torch.Size) else thing


def as_list(name: str, things: Iterable, expected: str) -> list:
    """All the things, in a list; refuse what holds none."""
    try:
        return list(things)
    except TypeError:  # not iterable, as a tensor without axes
        raise ValueError(f"{name} must be {expected}: got {kind(things)}") from None


# Numbers and names.


def check_whole_number(name: str, value: int, least: int = 1) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}: got {value!r}")


def check_real_number(name: str, value: float) -> float:
    """Refuse anything but one real number, which may be infinite and not NaN; return it as a float."""
    number = value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
    if not isinstance(number, Real) or isinstance(number, bool) or isnan(number):
        raise ValueError(f"{name} must be a number: got {value!r}")
    return float(number)


def check_finite_number(name: str, value: float) -> None:
    """Refuse anything but one finite number."""
    if not is_finite_number(value):
        raise ValueError(f"{name} must be a finite number: got {value!r}")


def check_positive_number(name: str, value: float) -> None:
    """Refuse anything but one positive, finite number."""
    if not (is_finite_number(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite: got {value!r}")


def check_not_negative_number(name: str, value: float) -> None:
    """Refuse anything but one finite number that is zero or more."""
    if not (is_finite_number(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative: got {value!r}")


def check_probability(name: str, value: float) -> None:
    """Refuse a number outside the open interval from 0 to 1."""
    if not (is_finite_number(value) and 0 < value < 1):
        raise ValueError(f"{name} must lie strictly between 0 and 1: got {value!r}")


def check_one_of(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse a name that is not among the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}: got {value!r}")


def check_path(name: str, path: str | os.PathLike) -> None:
    """Refuse anything but a path."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} must be a path: got {kind(path)}")


def check_generator(name: str, generator: torch.Generator) -> None:
    """Refuse anything but a `torch.Generator`, None too: randomness is explicit."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"{name} must be a torch.Generator: got {kind(generator)}")


def is_finite_number(value: object) -> bool:
    """Whether this is one real number, a tensor without axes among them, neither NaN nor infinite."""
    value = value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def check_floating_dtype(name: str, dtype: torch.dtype) -> None:
    """Refuse anything but a floating-point dtype."""
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"{name} must be a floating-point dtype: got {dtype!r}")


def check_fits(name: str, number: float, dtype: torch.dtype) -> None:
    """Refuse a finite number so large or small that the dtype has infinity or zero for it."""
    limits = torch.finfo(dtype)
    if number and not limits.smallest_normal * limits.eps <= abs(number) <= limits.max:
        raise ValueError(f"{name} must be a number that {dtype} can hold: got {number!r}")


# One tensor.


def check_tensor(name: str, thing: object, expected: str = "be a tensor") -> None:
    """Refuse anything but a tensor, with the way to make one of a number, a list or an array."""
    if isinstance(thing, Tensor):
        return
    convertible = isinstance(thing, list | tuple | Real) or hasattr(thing, "__array__")
    remedy = f"; torch.as_tensor({name}) makes it a tensor" if convertible else ""
    raise ValueError(f"{name} must {expected}: got {kind(thing)}{remedy}")


def check_floating(name: str, tensor: Tensor) -> None:
    """Refuse anything but a floating-point tensor."""
    check_tensor(name, tensor, "be a floating-point tensor")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor: got {kind(tensor)}")


def check_real(name: str, tensor: Tensor) -> None:
    """Refuse complex numbers and bools: of real numbers, whole ones too, any dtype will do."""
    check_tensor(name, tensor)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{name} must hold real numbers: got {kind(tensor)}")


def check_single_or_double(name: str, tensor: Tensor) -> None:
    """Refuse anything but float32 and float64, in which alone torch decomposes matrices."""
    check_floating(name, tensor)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be a float32 or float64 tensor: got {kind(tensor)}")


def check_bool(name: str, tensor: Tensor) -> None:
    """Refuse anything but a bool tensor."""
    check_tensor(name, tensor, "be a bool tensor")
    if tensor.dtype != torch.bool:
        raise ValueError(f"{name} must be bool: got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, axes: str, sizes: Sequence[int | None]) -> None:
    """Refuse anything but a tensor of these sizes, None being any; the axes are named, `"B T D"`."""
    check_tensor(name, tensor)
    shape = tuple(tensor.shape)
    if len(shape) == len(sizes) and all(e in (None, f) for e, f in zip(sizes, shape, strict=True)):
        return
    letters = axes.split()
    numbers = [letter if size is None else str(size) for letter, size in zip(letters, sizes, strict=True)]
    known = "" if numbers == letters else f" = {_in_brackets(numbers)}"
    raise ValueError(f"{name} must have shape {_in_brackets(letters)}{known}: got {shape}")


def _in_brackets(words: list[str]) -> str:
    return f"({', '.join(words)}{',' if len(words) == 1 else ''})"


def check_entries(name: str, tensor: Tensor, valid: Tensor, expected: str) -> None:
    """Refuse a tensor with an entry that is not `valid`, naming the first one and its value."""
    refuse_where(~valid, lambda *place: f"{name} must {expected}: {entry(name, tensor, *place)}")


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse NaN and infinities."""
    check_tensor(name, tensor)
    check_entries(name, tensor, tensor.isfinite(), "be finite")


def check_positive(name: str, tensor: Tensor) -> None:
    """Refuse entries that are zero, negative, infinite or NaN."""
    check_tensor(name, tensor)
    check_entries(name, tensor, tensor.isfinite() & (tensor > 0), "be positive and finite")


def check_not_negative(name: str, tensor: Tensor) -> None:
    """Refuse entries that are negative, infinite or NaN."""
    check_tensor(name, tensor)
    check_entries(name, tensor, tensor.isfinite() & (tensor >= 0), "be finite and not negative")


def entry(name: str, tensor: Tensor, *place: int) -> str:
    """An entry and its value, `y[2, 0] = nan`; a tensor without axes is its own entry."""
    return f"{name}{list(place) if place else ''} = {tensor[place].item()}"


# Two tensors.


def check_like(name: str, tensor: Tensor, reference_name: str, reference: Tensor) -> None:
    """Refuse anything but a tensor of the reference's dtype and device."""
    check_tensor(name, tensor)
    for what in ("dtype", "device"):
        check_same(name, what, getattr(tensor, what), reference_name, getattr(reference, what))


def check_same(name: str, what: str, found: object, reference_name: str, expected: object) -> None:
    """Refuse a dtype, device or size that is not the reference's."""
    if found != expected:
        raise ValueError(
            f"{name} must have the {what} of {reference_name}: got {plain(found)} and {plain(expected)}"
        )


def check_returns_like(name: str, result: Tensor, argument_name: str, argument: Tensor) -> None:
    """Refuse a function whose result is no tensor of its argument's shape, dtype and device."""
    if not isinstance(result, Tensor):
        raise ValueError(f"{name} must return a tensor: got {kind(result)}")
    for what in ("shape", "dtype", "device"):
        found, expected = getattr(result, what), getattr(argument, what)
        if found != expected:
            raise ValueError(
                f"{name} must return the {what} of {argument_name}, {plain(expected)}: got {plain(found)}"
            )


def check_broadcastable(name: str, shape: torch.Size, other: str, other_shape: torch.Size) -> None:
    """Refuse two shapes that do not broadcast together."""
    try:
        torch.broadcast_shapes(shape, other_shape)
    except RuntimeError:
        message = f"{name} must broadcast with {other}: shapes {tuple(shape)} and {tuple(other_shape)}"
        raise ValueError(message) from None


# What was observed of a batch of series.


def check_mask(mask: Tensor, name: str, values: Tensor) -> None:
    """Refuse anything but a bool mask of the shape and on the device of the values."""
    check_bool("mask", mask)
    if mask.shape != values.shape:
        raise ValueError(f"mask must have the shape {tuple(values.shape)} of {name}: got {tuple(mask.shape)}")
    check_same("mask", "device", mask.device, name, values.device)


def check_lengths(lengths: Tensor, name: str, values: Tensor) -> None:
    """Refuse anything but one whole number from 0 to T for each of the series (B, T, ...)."""
    series, steps = values.shape[:2]
    check_shape("lengths", lengths, "B", (series,))
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(f"lengths must be integers: got {lengths.dtype}")
    check_same("lengths", "device", lengths.device, name, values.device)
    counts = lengths.long()  # int8 cannot be compared with a T of 300
    refuse_where(
        (counts < 0) | (counts > steps),
        lambda b: f"lengths must lie between 0 and T = {steps}: series {b} has length {counts[b]}",
    )


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """True for each series' real steps (B, T), False for padding."""
    return torch.arange(steps, device=lengths.device) < lengths.long().unsqueeze(-1)


def observed_entries(name: str, values: Tensor, mask: Tensor | None, lengths: Tensor | None) -> Tensor:
    """True where the values (B, T, ...) were observed and lie within their series.

    Raises
    ------
    ValueError
        If the mask or the lengths do not fit the values.
    """
    check_tensor(name, values)
    observed = torch.ones_like(values, dtype=torch.bool)
    if mask is not None:
        check_mask(mask, name, values)
        observed = mask
    if lengths is not None:
        check_lengths(lengths, name, values)
        valid = valid_steps(lengths, values.shape[1])
        observed = observed & valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
    return observed


# compile=True, which needs what a machine may not have.

MAX_VARIANTS = 64
"""After so many fields, shapes, dtypes and gradient modes, torch runs further ones uncompiled, and warns.

A torch whose `compile` does not know these options, such as 2.8, does so after its own number, 8.
"""


@cache
def compile_function(function: Callable) -> Callable:
    """A function, compiled when first called with another field, model, shape or dtype.

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
    wishes = {"isolate_recompiles": True, "recompile_limit": MAX_VARIANTS}
    known = signature(torch.compile).parameters
    options = {name: wish for name, wish in wishes.items() if name in known}
    return torch.compile(function, dynamic=False, **options)
