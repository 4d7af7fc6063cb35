"""Polynomials, mass action among them, as networks that only add and square."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from helpers.arguments import check_floating, check_like, check_not_negative
from helpers.fields.arguments import check_last, check_powers, check_reactants, check_real_matrix
from helpers.fields.layers import chain_jacobian

Monomial = tuple[int, ...]
"""The exponent of each variable."""

Products = dict[Monomial, tuple[Monomial, Monomial]]
"""Which two factors make each product."""


class QuadraticField(nn.Module):
    """A feedforward network with activation z², whose weights are set to be a given polynomial, exactly.

    ::

        z_0 = y,   z_l = (W_l z_{l-1} + b_l)²,   f = W_out z_L + b_out

        x y = ((x + y)² - (x - y)²) / 4      (polarisation)

    Two squares make a product; a layer makes all the products that are needed at once, and passes a variable
    on as its product with 1. Each layer doubles the degree within reach: a polynomial of degree d needs
    L = ⌈log₂ d⌉ layers, none if it is affine. The entries of W_l and b_l are small multiples of 1/4, free of
    rounding. They are ordinary parameters: training can go on from a known mechanism.

    With ρ the largest of 1, |y_1|, …, |y_D| and ε the rounding of the dtype, f_k is right to within a
    few ε Σ_m |c_mk| ρ^(2^L): the squares cancel, and the largest of them is of that size. Bring variables
    to order one first.

    Parameters
    ----------
    exponents : Tensor (M, D), whole numbers
        Monomial m is Π_i y_i^exponents[m, i].
    coefficients : Tensor (M, D_out)
        c: f_k = Σ_m c_mk · monomial m. The weights get its dtype and device.

    Raises
    ------
    ValueError
        If the two are no finite matrices with one row for each monomial, an exponent is negative or no whole
        number, or the coefficients are not floating-point.

    Source: networks with activation z²: Livni, Shalev-Shwartz and Shamir (2014), On the computational
    efficiency of training neural networks, NeurIPS.
    """

    def __init__(self, exponents: Tensor, coefficients: Tensor) -> None:
        super().__init__()
        _check_polynomial(exponents, coefficients)
        self.dim = exponents.shape[1]
        polynomial = [tuple(map(int, row)) for row in exponents.tolist()]
        hidden, decoder = [], torch.eye(self.dim, dtype=torch.float64)
        factors = [_monomial([i], self.dim) for i in range(self.dim)]
        for products in _factorise(polynomial):
            squares = _polarise(factors, products)
            hidden.append(_linear(squares.encoder @ decoder, squares.bias, coefficients))
            factors, decoder = list(products), squares.decoder
        selection, constants = _select(polynomial, factors)
        c = coefficients.detach().to("cpu", torch.float64).mT  # (D_out, M)
        self.hidden = nn.ModuleList(hidden)
        self.readout = _linear(c @ selection @ decoder, c @ constants, coefficients)

    @classmethod
    def from_mass_action(cls, S: Tensor, reactants: Tensor, rate_constants: Tensor) -> "QuadraticField":
        """The field of reactions whose rate is proportional to how often their reactants meet.

        ::

            y' = S v,   v_r = k_r Π_d y_d^O_dr

        Parameters
        ----------
        S : Tensor (D, R)
            Stoichiometry: products less reactants of each reaction.
        reactants : Tensor (D, R), whole numbers
            O, how many of each species meet in each reaction.
        rate_constants : Tensor (R,)
            k, not negative, in amount^(1 - Σ_d O_dr) per unit of time. The weights get its dtype and device.

        Raises
        ------
        ValueError
            If shapes do not fit, numbers are not finite, or powers or rate constants are negative.
        """
        _check_mass_action(S, reactants, rate_constants)
        return cls(reactants.mT, rate_constants.unsqueeze(-1) * S.mT.to(rate_constants))

    @property
    def depth(self) -> int:
        """L, the number of layers that square."""
        return len(self.hidden)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many squares each layer takes."""
        return tuple(layer.out_features for layer in self.hidden)

    def forward(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The polynomial (..., D_out) at y (..., D), the same at all times t."""
        self._check(y)
        z = y
        for linear in self.hidden:
            z = linear(z).square()
        return self.readout(z)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """∂f/∂y (..., D_out, D): W_out diag(2 a_L) W_L ⋯ diag(2 a_1) W_1, a_l = W_l z_{l-1} + b_l."""
        self._check(y)
        return chain_jacobian(self.hidden, self.readout, torch.square, lambda a: 2 * a, y, self.dim)

    def _check(self, y: Tensor) -> None:
        """Refuse a state that this polynomial does not take."""
        check_last("y", y, self.dim, "variables")
        check_like("y", y, "the weights", self.readout.bias)


@dataclass(frozen=True, eq=False)
class _Squares:
    """One layer's squares (encoder · factors + bias)², and the products decoder · squares that they make."""

    encoder: Tensor  # (squares, factors)
    bias: Tensor  # (squares,)
    decoder: Tensor  # (products, squares)


def _polarise(factors: list[Monomial], products: Products) -> _Squares:
    """a b = ((a + b)² - (a - b)²) / 4 for every product; the second square only where a and b differ."""
    left, right = zip(*products.values(), strict=True)
    (a, a0), (b, b0) = _select(left, factors), _select(right, factors)
    differ = [i for i in range(len(products)) if left[i] != right[i]]
    one = torch.eye(len(products), dtype=torch.float64)
    return _Squares(
        encoder=torch.cat((a + b, (a - b)[differ])),
        bias=torch.cat((a0 + b0, (a0 - b0)[differ])),
        decoder=torch.cat((one, -one[:, differ]), dim=1) / 4,
    )


def _select(monomials: Iterable[Monomial], factors: list[Monomial]) -> tuple[Tensor, Tensor]:
    """Monomials as matrix · factors + constants: a row for each, with a 1 where it is that factor."""
    monomials = list(monomials)
    matrix = torch.tensor([[m == factor for factor in factors] for m in monomials], dtype=torch.float64)
    return matrix, torch.tensor([not any(m) for m in monomials], dtype=torch.float64)


def _factorise(polynomial: list[Monomial]) -> list[Products]:
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
    return _monomial(variables[middle:], len(product)), _monomial(variables[:middle], len(product))


def _monomial(variables: list[int], dim: int) -> Monomial:
    """The product of the variables in the list."""
    return tuple(variables.count(i) for i in range(dim))


def _linear(weight: Tensor, bias: Tensor, like: Tensor) -> nn.Linear:
    """A layer with these weights and biases, of another tensor's dtype and device."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # filled here, not at random
    layer.weight, layer.bias = nn.Parameter(weight.to(like)), nn.Parameter(bias.to(like))
    return layer


def _check_polynomial(exponents: Tensor, coefficients: Tensor) -> None:
    """Refuse what is no list of monomials, each with its coefficients."""
    check_powers("exponents", exponents, "(M, D)")
    check_real_matrix("coefficients", coefficients, "(M, D_out)")
    check_floating("coefficients", coefficients)
    if len(exponents) != len(coefficients):
        raise ValueError(
            f"coefficients must have one row for each of {len(exponents)} monomials: got {len(coefficients)}"
        )


def _check_mass_action(S: Tensor, reactants: Tensor, rate_constants: Tensor) -> None:
    """Refuse reactions that do not fit together."""
    check_real_matrix("S", S, "(D, R)")
    check_reactants(reactants, S)
    if rate_constants.shape != S.shape[1:]:
        raise ValueError(
            f"rate_constants must hold one for each of {S.shape[1]} reactions: "
            f"got shape {tuple(rate_constants.shape)}"
        )
    check_not_negative("rate_constants", rate_constants)
