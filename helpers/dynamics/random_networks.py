"""What theory says of the Lyapunov exponents of large random tanh networks, h' = tanh(g W h + x)."""

import math

import torch
from torch import Tensor

from helpers.arguments import check_not_negative_number, check_positive_number, check_whole_number

MAX_NEWTON_STEPS = 64
"""More than are taken even at g = 1 without input, where each step only halves the variance."""
SMALLEST_STEP = 1e-13
"""Of the variance, in units of where it began, at which Newton's method has converged."""
STEEP = 4.0
"""Steepness from which on tanh bends within a part of the Gaussian only."""

Z = torch.linspace(-8.0, 8.0, 201, dtype=torch.float64)
NORMAL = torch.softmax(-Z.square() / 2, 0)
"""Nodes and weights of a mean over N(0, 1)."""
U = torch.linspace(-20.0, 20.0, 401, dtype=torch.float64)
SECH_SQUARED = torch.cosh(U) ** -2
SLOPES = 0.1 / math.sqrt(math.tau) * SECH_SQUARED
"""Nodes of a mean of 1 - tanh² u, and this times the spacing and the height of N(0, 1)."""


def circular_law_exponents(gain: float, units: int, count: int) -> Tensor:
    """The largest Lyapunov exponents of a large random network that rests at zero, in descending order.

    There they are the ln |λ| of the eigenvalues of g W, which for N(0, 1/N) entries fill a disc of radius g
    evenly. A fraction |λ|² / g² of them is smaller than λ, so that ::

        λᵢ = ln g + ½ ln(1 - (i - ½) / N)        i = 1 … count

    Parameters
    ----------
    gain : float
        g, positive.
    units : int
        N.
    count : int
        How many exponents, at most N.

    Returns
    -------
    Tensor (count,)
        Per step, float64.

    Raises
    ------
    ValueError
        If an argument is not as described.

    Source: Girko (1985), Circular law, Theory of Probability and its Applications 29:694-706.
    """
    check_positive_number("gain", gain)
    check_whole_number("units", units)
    check_whole_number("count", count)
    if count > units:
        raise ValueError(f"count must be at most units = {units}: got {count}")
    rank = torch.arange(count, dtype=torch.float64) + 0.5
    return math.log(gain) + torch.log1p(-rank / units) / 2


def mean_field_exponent(gain: float, input_amplitude: float) -> float:
    """The largest Lyapunov exponent of a driven random network with infinitely many units.

    What arrives at a unit is then Gaussian, with a variance q that reproduces itself::

        q = g² ⟨tanh²(√q z)⟩ + a²        z ~ N(0, 1)
        λ = ½ ln(g² ⟨(1 - tanh²(√q z))²⟩)

    Without input and for g ≤ 1, q = 0 and λ = ln g.

    Parameters
    ----------
    gain : float
        g, the standard deviation of the weights times √N, positive.
    input_amplitude : float
        a, the standard deviation of white noise x, independent between units.

    Returns
    -------
    float
        λ, per step.

    Raises
    ------
    ValueError
        If `gain` is not positive or `input_amplitude` is negative.

    Source: Molgedey, Schuchhardt and Schuster (1992), Suppressing chaos in neural networks by noise,
    Physical Review Letters 69:3717-3719.
    """
    check_positive_number("gain", gain)
    check_not_negative_number("input_amplitude", input_amplitude)
    return math.log(gain) + _log_mean_slope(gain, input_amplitude) / 2


def _log_mean_slope(gain: float, input_amplitude: float) -> float:
    """ln⟨(1 - tanh²(√q z))²⟩ at the q of `mean_field_exponent`, by Newton's method.

    It starts above the root, from where its steps only descend; q is counted in units of g² or a², the
    larger, which need not be a float itself.
    """
    unit = max(gain, input_amplitude)
    of_network, of_input = (gain / unit) ** 2, (input_amplitude / unit) ** 2
    variance = of_network + of_input
    for _ in range(MAX_NEWTON_STEPS):
        squares, rise, log_slope = _gaussian_means(unit, math.sqrt(variance))
        excess = of_network * squares + of_input - variance
        step = excess / (of_network * rise / variance - 1 if variance else -1)
        if step <= SMALLEST_STEP:
            break
        variance = max(0.0, variance - step)
    return log_slope


def _gaussian_means(unit: float, root: float) -> tuple[float, float, float]:
    """⟨tanh²(√q z)⟩, its derivative by ln q, and ln⟨(1 - tanh²(√q z))²⟩, √q = unit · root, z ~ N(0, 1).

    ::

        d⟨tanh²(√q z)⟩/dq = ⟨(tanh²)''⟩ / 2 = 1 - 4 ⟨tanh²⟩ + 3 ⟨tanh⁴⟩

    By the trapezoidal rule, which converges faster than any power of the spacing: in z, or where tanh is
    steep in u = √q z, for there 1 - tanh² u decides where the integrand ends. Exact to rounding.
    """
    steepness = unit * root
    if steepness < STEEP:
        powers = torch.tanh(steepness * Z).square()
        squares, fourths = float(NORMAL @ powers), float(NORMAL @ powers.square())
        rise = steepness**2 * (1 - 4 * squares + 3 * fourths)
        return squares, rise, math.log(1 - 2 * squares + fourths)
    along = (U / steepness).square()
    weights = SLOPES * torch.exp(-along / 2)
    first, bend, second = float(weights.sum()), float(weights @ along), float(weights @ SECH_SQUARED)
    rise = (first - bend) / steepness / 2  # these three are means times √q
    return 1 - first / steepness, rise, math.log(second) - math.log(unit) - math.log(root)
