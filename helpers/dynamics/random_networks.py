"""What theory says of the Lyapunov exponents of large random tanh networks, h' = tanh(g W h + x)."""

import math

import torch
from torch import Tensor

from helpers.arguments import check_not_negative_number, check_positive_number, check_whole_number

MAX_NEWTON_STEPS = 64
"""More than are taken even at g = 1 without input, where each step only halves the variance."""
SMALLEST_STEP = 1e-13
"""Of the variance, at which Newton's method has converged."""


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
    _, squares, fourths = _self_consistent_variance(gain, input_amplitude)
    return math.log(gain) + math.log(1 - 2 * squares + fourths) / 2


def _self_consistent_variance(gain: float, input_amplitude: float) -> tuple[float, float, float]:
    """Return q of `mean_field_exponent`, ⟨tanh²⟩ and ⟨tanh⁴⟩ there, by Newton's method.

    ::

        d⟨tanh²(√q z)⟩/dq = ⟨(tanh²)''⟩ / 2 = 1 - 4 ⟨tanh²⟩ + 3 ⟨tanh⁴⟩

    It starts above the root, from where its steps only descend.
    """
    variance = gain**2 + input_amplitude**2
    nodes, weights = _gaussian_quadrature(steepness=math.sqrt(variance))
    for _ in range(MAX_NEWTON_STEPS):
        powers = torch.tanh(math.sqrt(variance) * nodes).square()
        squares, fourths = float(weights @ powers), float(weights @ powers.square())
        excess = gain**2 * squares + input_amplitude**2 - variance
        slope = gain**2 * (1 - 4 * squares + 3 * fourths) - 1
        step = excess / slope
        if step <= SMALLEST_STEP:
            break
        variance = max(0.0, variance - step)
    return variance, squares, fourths


def _gaussian_quadrature(steepness: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a mean over N(0, 1), exact to rounding for functions of tanh(steepness · z).

    The trapezoidal rule, which converges faster than any power of the spacing.
    """
    intervals = 200 * max(1, math.ceil(steepness / 4))
    nodes = torch.linspace(-8.0, 8.0, intervals + 1, dtype=torch.float64)
    weights = torch.exp(-nodes.square() / 2)
    return nodes, weights / weights.sum()
