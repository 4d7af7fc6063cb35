"""Exercise 9: the gain at which a tanh network neither loses nor multiplies its gradient."""

import torch

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.numbers import no_number
from helpers.checks.verdict import Item, Verdict
from helpers.recurrent import VanillaRNN, gradient_profile, orthogonal_

INPUTS = 0.5  # standard deviation of what each unit reads
TOLERANCE = 0.005  # of the growth per step


def growth_per_step(gain: float, inputs: float = INPUTS, activation: str = "tanh", seed: int = 9) -> float:
    """Factor by which ‖∂L/∂h_k‖ grows from one state to the one before it.

    The geometric mean over 50 steps of 32 series, in a network of 64 units whose W_hh is `gain` times a
    rotation, and whose units each read independent noise of standard deviation `inputs`.
    """
    generator = torch.Generator().manual_seed(seed)
    rnn = VanillaRNN(64, 64, activation, bias=False, generator=generator, dtype=torch.float64)
    orthogonal_(rnn.W_hh, gain, generator=generator)
    torch.nn.init.eye_(rnn.W_xh)
    x = inputs * torch.randn(32, 80, 64, generator=generator, dtype=torch.float64)
    norms = gradient_profile(rnn, x, lambda states: states[:, -1].sum(-1)).norms  # (32, 81)
    return ((norms[:, 25] / norms[:, 75]).log().mean() / 50).exp().item()


def flat_profile(gain: object, gain_for_larger_inputs: object, prediction: object = None) -> Verdict:
    """Exercise 9: the gains at which the gradient keeps its size, for inputs of 0.5 and of 1.0."""
    if is_blank(gain) and is_blank(gain_for_larger_inputs):
        return Verdict("flat_profile")
    items = (
        _flat("gain", gain, INPUTS, prediction),
        _flat("gain_for_larger_inputs", gain_for_larger_inputs, 2 * INPUTS),
    )
    return Verdict("flat_profile", items)


def _flat(name: str, answer: object, inputs: float, prediction: object = None) -> Item:
    gain, predicted = as_number(answer), as_number(prediction)
    if gain is None:
        return no_number(name, answer)
    if gain <= 0:
        return Item(False, f"{name}: {gain:g} is no gain; give a positive number")
    growth = growth_per_step(gain, inputs)
    measured = f"{name}: at {gain:.3f} the gradient is multiplied by {growth:.3f} per step into the past"
    if abs(growth - 1) <= TOLERANCE:
        return Item(True, measured + ("" if predicted is None else f"; you predicted {predicted:g}"))
    return Item(False, measured + _remark(gain, growth, inputs))


def _remark(gain: float, growth: float, inputs: float) -> str:
    if gain == 1.0:
        return ": a gain of 1 is flat for a linear network; the slopes of tanh, below 1, multiply it"
    if inputs > INPUTS and abs(growth_per_step(gain) - 1) <= TOLERANCE:
        return ": that is the gain for the smaller inputs; larger ones saturate more units"
    return ": go higher" if growth < 1 else ": go lower"
