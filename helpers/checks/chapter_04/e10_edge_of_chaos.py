"""Exercise 10: the gain at which a random network stops forgetting where it started."""

import torch
from torch import Tensor

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.numbers import no_number
from helpers.checks.verdict import Item, Verdict
from helpers.dynamics import Map, lyapunov_spectrum

UNITS = 100
TOLERANCE = 0.01  # of λ_1 per step


def random_weights(seed: int = 4) -> Tensor:
    """W (100, 100), of independent normal entries with variance 1/100."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64) / UNITS**0.5


def largest_exponent(gain: float, inputs: float = 0.0, steps: int = 1000) -> float:
    """λ_1 per step of h' = tanh(gain · W h + x_t), x_t independent noise of standard deviation `inputs`."""
    generator = torch.Generator().manual_seed(10)
    W, transient = gain * random_weights(), 500
    system = Map(
        lambda h, x: torch.tanh(h @ W.T + x),
        lambda h, x: (1 - torch.tanh(h @ W.T + x) ** 2)[:, :, None] * W,
    )
    h = torch.randn(1, UNITS, generator=generator, dtype=torch.float64)
    x = inputs * torch.randn(1, transient + steps, UNITS, generator=generator, dtype=torch.float64)
    run = lyapunov_spectrum(system, h, steps, transient=transient, inputs=x, count=1)
    return run.exponents.item()


def edge_of_chaos(gain: object, gain_with_inputs: object, prediction: object = None) -> Verdict:
    """Exercise 10: where λ_1 of the `random_weights` reaches 0, alone and under inputs of 1."""
    if is_blank(gain) and is_blank(gain_with_inputs):
        return Verdict("edge_of_chaos")
    return Verdict("edge_of_chaos", (_alone(gain, prediction), _driven(gain_with_inputs)))


def _alone(answer: object, prediction: object) -> Item:
    gain, predicted = as_number(answer), as_number(prediction)
    if gain is None:
        return no_number("gain", answer)
    if gain <= 0:
        return Item(False, f"gain: {gain:g} is not a gain that amplifies; try positive ones")
    radius = torch.linalg.eigvals(random_weights()).abs().max().item()
    if abs(gain * radius - 1) <= TOLERANCE:
        guess = "" if predicted is None else f"; you predicted {predicted:g}"
        explained = (
            f"gain: λ_1 reaches 0 at {1 / radius:.3f}, 1 over the spectral radius {radius:.3f} of W{guess}"
        )
        return Item(True, explained)
    return Item(False, f"gain: at {gain:g}, λ_1 = {largest_exponent(gain):.3f}; " + _towards(gain * radius))


def _towards(radius: float) -> str:
    if radius < 1:
        return "the state still falls to 0: go higher"
    if radius < 1.5:
        return "the state has left 0 already, and rests or goes round elsewhere: go lower"
    return "λ_1 reached 0 long before: go lower"


def _driven(answer: object) -> Item:
    gain = as_number(answer)
    if gain is None:
        return no_number("gain_with_inputs", answer)
    if gain <= 0:
        return Item(False, f"gain_with_inputs: {gain:g} is not a gain that amplifies; try positive ones")
    exponent = largest_exponent(gain, inputs=1.0)
    measured = f"gain_with_inputs: at {gain:g}, λ_1 = {exponent:.3f}"
    if abs(exponent) <= TOLERANCE:
        return Item(
            True, measured + "; inputs saturate the units, where tanh is flat, and so hold chaos back"
        )
    return Item(False, measured + (": go higher" if exponent < 0 else ": go lower"))
