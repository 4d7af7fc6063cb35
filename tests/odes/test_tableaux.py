"""The tableaux are tested by Butcher's order conditions, with rooted trees that this file grows itself.

A tree is the sorted tuple of the trees at its root; () is one vertex. For stages with matrix A, the weight
Φ(τ) is a vector over stages: the product over the root's branches of A Φ(branch), and 1 for a single vertex.
A method is of order p if Σ_i b_i Φ_i(τ) = 1 / γ(τ) for every tree with at most p vertices.
"""

from functools import cache
from math import prod

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from scipy.integrate._ivp import dop853_coefficients, rk

from helpers.odes import TABLEAUX, Tableau

Tree = tuple
ROUND_OFF = 4e-14
TREES_OF_EACH_ORDER = [1, 1, 2, 4, 9, 20, 48, 115]  # OEIS A000081

methods = pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=TABLEAUX)
adaptive = pytest.mark.parametrize("name", [name for name, t in TABLEAUX.items() if t.error])


@cache
def trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with so many vertices."""
    return tuple(sorted(forests(order - 1, order - 1)))


@cache
def forests(vertices: int, largest: int) -> set[Tree]:
    """All multisets of trees with so many vertices in all, none with more than ``largest``."""
    if not vertices:
        return {()}
    found = set()
    for size in range(1, min(vertices, largest) + 1):
        for rest in forests(vertices - size, size):
            found |= {tuple(sorted((*rest, tree))) for tree in trees(size)}
    return found


def vertices(tree: Tree) -> int:
    return 1 + sum(map(vertices, tree))


def density(tree: Tree) -> int:
    """γ(τ): the product of the sizes of all subtrees."""
    return vertices(tree) * prod(map(density, tree))


def weight(tree: Tree, a: np.ndarray) -> np.ndarray:
    """Φ(τ) (S,)."""
    return np.prod([np.ones(len(a)), *(a @ weight(branch, a) for branch in tree)], axis=0)


def matrix(tableau: Tableau) -> np.ndarray:
    """A (S, S), with the stages of the dense output."""
    rows = [(), *tableau.a, *tableau.dense_a]
    return np.array([(*row, *[0.0] * (len(rows) - len(row))) for row in rows], dtype=float)


def defects(weights: np.ndarray, a: np.ndarray, order: int) -> np.ndarray:
    """Σ_i b_i Φ_i(τ) - 1 / γ(τ) of every tree of this order."""
    a = a[: len(weights), : len(weights)]
    return np.array([weights @ weight(tree, a) - 1 / density(tree) for tree in trees(order)])


def test_the_trees_are_all_there():
    assert [len(trees(order)) for order in range(1, 9)] == TREES_OF_EACH_ORDER
    assert all(vertices(tree) == 8 for tree in trees(8))


@methods
def test_nodes_are_the_rows_sums(tableau):
    nodes = np.array([*tableau.c, *tableau.dense_c])
    np.testing.assert_allclose(matrix(tableau).sum(1), nodes, atol=ROUND_OFF)


@methods
def test_shapes(tableau):
    assert [len(row) for row in tableau.a] == list(range(1, len(tableau.c)))
    assert len(tableau.b) == len(tableau.c) and all(len(row) == len(tableau.c) for row in tableau.error)
    assert len(tableau.dense) == len(tableau.c) + len(tableau.dense_c)
    assert len({len(row) for row in tableau.dense}) == 1
    if tableau.first_same_as_last:
        assert tableau.a[-1] == tableau.b[:-1] and tableau.b[-1] == 0 and tableau.c[-1] == 1


@methods
def test_step_has_its_order_and_no_more(tableau):
    b, a = np.array(tableau.b, dtype=float), matrix(tableau)
    for order in range(1, tableau.order + 1):
        assert np.abs(defects(b, a, order)).max() < ROUND_OFF
    assert np.abs(defects(b, a, tableau.order + 1)).max() > 1e-7


@adaptive
def test_embedded_method_has_the_error_order(name):
    """b minus the error's weights is a method of order q and not of q + 1: the error falls as h^(q+1)."""
    tableau = TABLEAUX[name]
    orders = {"dopri8": (5, 3)}.get(name, (tableau.error_order,))
    for weights, order in zip(tableau.error, orders, strict=True):
        embedded, a = np.array(tableau.b) - np.array(weights), matrix(tableau)
        for lower in range(1, order + 1):
            assert np.abs(defects(embedded, a, lower)).max() < ROUND_OFF
        assert np.abs(defects(embedded, a, order + 1)).max() > 1e-5


@methods
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.77, 1.0])
def test_dense_output_has_its_order(tableau, share):
    """Σ_i b_i(θ) Φ_i(τ) = θ^ρ / γ(τ)."""
    polynomials, a = np.array(tableau.dense, dtype=float), matrix(tableau)
    weights = polynomials @ share ** np.arange(1, polynomials.shape[1] + 1)
    for order in range(1, tableau.dense_order + 1):
        exact = np.array([share**order / density(tree) for tree in trees(order)])
        actual = np.array([weights @ weight(tree, a) for tree in trees(order)])
        np.testing.assert_allclose(actual, exact, rtol=0, atol=2e-12)


@methods
def test_dense_output_has_no_higher_order(tableau):
    polynomials, a = np.array(tableau.dense, dtype=float), matrix(tableau)
    weights = polynomials @ 0.4 ** np.arange(1, polynomials.shape[1] + 1)
    order = tableau.dense_order + 1
    defect = [weights @ weight(tree, a) - 0.4**order / density(tree) for tree in trees(order)]
    assert np.abs(defect).max() > 1e-6


@methods
def test_dense_output_ends_with_the_step(tableau):
    """b_i(1) = b_i, and the stages of the dense output have no weight there."""
    ends = np.array(tableau.dense, dtype=float).sum(1)
    expected = np.array([*tableau.b, *[0.0] * len(tableau.dense_c)])
    np.testing.assert_allclose(ends, expected, rtol=0, atol=1e-12)


@adaptive
def test_dense_output_leaves_with_the_slope(name):
    """b_i'(0) = 1 for the first stage and 0 for the others: it leaves the step's start along f(t, y)."""
    first = np.array([row[0] for row in TABLEAUX[name].dense])
    np.testing.assert_allclose(first, np.eye(len(first))[0], atol=ROUND_OFF)


def test_dopri8_is_hairers():
    tableau, their = TABLEAUX["dopri8"], dop853_coefficients
    np.testing.assert_allclose(matrix(tableau), their.A, rtol=1e-15)
    np.testing.assert_allclose([*tableau.c, *tableau.dense_c], their.C, rtol=1e-15)
    np.testing.assert_allclose(tableau.error, [their.E5, their.E3], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name, theirs", [("bosh3", rk.RK23), ("dopri5", rk.RK45)])
def test_the_same_as_scipy(name, theirs):
    tableau = TABLEAUX[name]
    stages = len(theirs.B)
    columns = theirs.A.shape[1]
    np.testing.assert_allclose(matrix(tableau)[:stages, :columns], theirs.A, rtol=1e-15)
    np.testing.assert_allclose(tableau.b[:stages], theirs.B, rtol=1e-15)
    np.testing.assert_allclose(np.abs(tableau.error[0]), np.abs(theirs.E), rtol=1e-13)
    np.testing.assert_allclose(np.array(tableau.dense, dtype=float), theirs.P, rtol=1e-15)


def vanishing_estimates(tableau):
    """The hλ ≠ 0 at which an estimate of the error of y' = λy is 0."""
    increments = []
    for row in [(), *tableau.a]:
        state = Polynomial([1.0]) + sum(weight * h_k for weight, h_k in zip(row, increments, strict=True))
        increments.append(Polynomial([0.0, 1.0]) * state)
    for row in tableau.error:
        error = sum(weight * h_k for weight, h_k in zip(row, increments, strict=True)).coef
        order = np.argmax(np.abs(error) > 1e-12)
        yield from Polynomial(error[order:]).trim(1e-13).roots()


@pytest.mark.parametrize("tableau", [t for t in TABLEAUX.values() if t.adaptive], ids=lambda t: t.name)
def test_blind_spots(tableau):
    roots = [z for z in vanishing_estimates(tableau) if abs(z.imag) < 1e-9 and z.real < 0]
    assert tableau.blind_spot == bool(roots)
