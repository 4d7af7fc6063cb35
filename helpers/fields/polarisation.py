"""Products out of squares: which squares a layer must take, so that the next has the monomials it needs."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Monomial = tuple[int, ...]  # the exponent of each variable
Products = dict[Monomial, tuple[Monomial, Monomial]]  # which two factors make each


@dataclass(frozen=True, eq=False)
class Squares:
    """One layer's squares (encoder · factors + bias)², and the products decoder · squares that they make."""

    encoder: Tensor  # (squares, factors)
    bias: Tensor  # (squares,)
    decoder: Tensor  # (products, squares)


def polarise(factors: list[Monomial], products: Products) -> Squares:
    """a b = ((a + b)² - (a - b)²) / 4 for every product; the second square only where a and b differ."""
    left, right = zip(*products.values(), strict=True)
    (a, a0), (b, b0) = select(left, factors), select(right, factors)
    differ = [i for i in range(len(products)) if left[i] != right[i]]
    one = torch.eye(len(products), dtype=torch.float64)
    return Squares(
        encoder=torch.cat((a + b, (a - b)[differ])),
        bias=torch.cat((a0 + b0, (a0 - b0)[differ])),
        decoder=torch.cat((one, -one[:, differ]), dim=1) / 4,
    )


def select(monomials: Iterable[Monomial], factors: list[Monomial]) -> tuple[Tensor, Tensor]:
    """Monomials as matrix · factors + constants: a row for each, with a 1 where it is that factor."""
    monomials = list(monomials)
    matrix = torch.tensor([[m == factor for factor in factors] for m in monomials], dtype=torch.float64)
    return matrix, torch.tensor([not any(m) for m in monomials], dtype=torch.float64)


def factorise(polynomial: list[Monomial]) -> list[Products]:
    """The products that each layer makes of those of the layer below, the first of the variables.

    A layer halves the degree. Constants are in none of them: biases hold them.
    """
    layers, wanted = [], polynomial
    while max(map(sum, wanted)) > 1:
        products = {product: _split(product) for product in wanted if any(product)}
        wanted = [factor for pair in products.values() for factor in pair]
        layers.append(products)
    return layers[::-1]


def _split(product: Monomial) -> tuple[Monomial, Monomial]:
    """Two factors of half the degree, equal ones if possible; a variable is itself times 1."""
    if all(exponent % 2 == 0 for exponent in product):
        half = tuple(exponent // 2 for exponent in product)
        return half, half
    variables = [i for i, exponent in enumerate(product) for _ in range(exponent)]
    middle = len(variables) // 2
    return monomial(variables[middle:], len(product)), monomial(variables[:middle], len(product))


def monomial(variables: list[int], dim: int) -> Monomial:
    """The product of the variables in the list."""
    return tuple(variables.count(i) for i in range(dim))
