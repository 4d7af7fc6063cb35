"""Exercise 7: products by squares alone, the way a network with activation z² makes them."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from helpers.checks.functions import Misconception, examine
from helpers.checks.verdict import Verdict, combine


@dataclass(frozen=True, eq=False)
class Unknown:
    """A value that can be added, subtracted, scaled by a number and squared, and nothing else."""

    value: Tensor

    def __add__(self, other: object) -> "Unknown":
        return Unknown(self.value + _value(other))

    def __sub__(self, other: object) -> "Unknown":
        return Unknown(self.value - _value(other))

    def __rsub__(self, other: object) -> "Unknown":
        return Unknown(_value(other) - self.value)

    def __neg__(self) -> "Unknown":
        return Unknown(-self.value)

    def __mul__(self, factor: object) -> "Unknown":
        if isinstance(factor, Real):
            return Unknown(self.value * factor)
        raise TypeError("two unknowns are multiplied here, and a layer of this network cannot. Square sums")

    def __truediv__(self, divisor: object) -> "Unknown":
        if isinstance(divisor, Real):
            return Unknown(self.value / divisor)
        raise TypeError("an unknown is divided by another, and a layer of this network cannot. Square sums")

    def __pow__(self, exponent: object) -> "Unknown":
        if exponent == 2:
            return self.square()
        raise TypeError(f"the power {exponent!r} is taken here; this network has the square only")

    def square(self) -> "Unknown":
        """z²."""
        return Unknown(self.value.square())

    __radd__, __rmul__ = __add__, __mul__

    def __getattr__(self, name: str) -> object:
        raise TypeError(f"`.{name}` is not there: this network adds, subtracts, scales, and has .square()")

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        if function in (torch.square, torch.Tensor.square):
            return arguments[0].square()
        raise TypeError("this network adds, subtracts, scales by numbers, and squares: nothing else")


def _value(other: object) -> Tensor | float:
    return other.value if isinstance(other, Unknown) else other


OF_THE_PRODUCT = (
    ("you have 4 x y: (x + y)² - (x - y)² is 4 x y, so divide by 4", lambda x, y: 4 * x * y),
    (
        "you have 2 x y. (x + y)² - x² - y² is to be halved, (x + y)² - (x - y)² to be divided by 4",
        lambda x, y: 2 * x * y,
    ),
    ("the sign is wrong: (x + y)² comes first, less (x - y)²", lambda x, y: -x * y),
    (
        "(x + y)² + (x - y)² is 2 x² + 2 y²: the mixed terms cancel, and you want the others to. Subtract",
        lambda x, y: (x**2 + y**2) / 2,
    ),
    (
        "the pure squares are still in it: (x + y)² = x² + 2 x y + y², and (x - y)² takes x² and y² away",
        lambda x, y: (x + y) ** 2 / 4,
    ),
    (
        "the pure squares are still in it: (x + y)² = x² + 2 x y + y², and (x - y)² takes x² and y² away",
        lambda x, y: (x + y) ** 2,
    ),
    ("you have x² - y², which is (x + y) (x - y)", lambda x, y: x**2 - y**2),
)
OF_THE_AUTOCATALYSIS = (
    ("you have x y²: two X and one Y meet", lambda x, y: x * y**2),
    ("you have x y: square x before you multiply", lambda x, y: x * y),
    ("you have x² y²: square x alone, then multiply by y", lambda x, y: (x * y) ** 2),
    ("you have 4 x² y: a factor 1/4 is missing", lambda x, y: 4 * x**2 * y),
    ("you have 2 x² y: a factor 1/2 is missing", lambda x, y: 2 * x**2 * y),
    ("you have 16 x² y: a factor 1/4 is missing in each of two products", lambda x, y: 16 * x**2 * y),
    ("the sign is wrong", lambda x, y: -(x**2) * y),
    ("you have x³: the product is of x² with y", lambda x, y: x**3),
)


def by_squares(product, autocatalysis=None, seed: int = 1) -> Verdict:
    """Exercise 7: `product(x, y) -> x y` and `autocatalysis(x, y) -> x² y`, (N,) each, by squares."""
    return combine(
        "by_squares",
        _judge("product", product, lambda x, y: x * y, OF_THE_PRODUCT, seed),
        _judge("autocatalysis", autocatalysis, lambda x, y: x**2 * y, OF_THE_AUTOCATALYSIS, seed),
    )


def _judge(
    name: str, function: object, reference: Callable, misconceptions: Sequence[Misconception], seed: int
) -> Verdict:
    x, y = 4 * torch.rand(2, 6, generator=torch.Generator().manual_seed(seed)) - 2
    cases = {
        f"{name}, x = 3, y = 2, by hand": {"x": torch.tensor([3.0]), "y": torch.tensor([2.0])},
        f"{name}, six pairs, some negative": {"x": x, "y": y},
    }
    restricted = _restrict(function) if callable(function) else function
    return examine(name, restricted, cases, reference, misconceptions)


def _restrict(function: Callable) -> Callable:
    """The function, with arguments that know the square as their only product."""

    @functools.wraps(function)
    def restricted(*arguments: Tensor):
        returned = function(*map(Unknown, arguments))
        return returned.value if isinstance(returned, Unknown) else returned

    return restricted
