"""Exercise 9: the gain at which a tanh network neither loses nor multiplies its gradient."""

from functools import partial

import torch

from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
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
    return combine(
        "flat_profile", GAIN.judge(gain, prediction), GAIN_FOR_LARGER_INPUTS.judge(gain_for_larger_inputs)
    )


def _flat_gain(name: str, inputs: float, *slips) -> Number:
    measured = "at {answer:.3f} the gradient is multiplied by {effect:.3f} per step into the past"
    linear = ": a gain of 1 is flat for a linear network; the slopes of tanh, below 1, multiply it"
    return Number(
        name,
        truth=1.0,
        within=TOLERANCE,
        effect=partial(growth_per_step, inputs=inputs),
        right=measured,
        wrong=measured,
        slips=((lambda gain: gain == 1, linear), *slips),
        recipe=(": go higher", ": go lower"),
        impossible=((lambda gain: gain <= 0, "{answer:g} is no gain; give a positive number"),),
    )


GAIN = _flat_gain("gain", INPUTS)
GAIN_FOR_LARGER_INPUTS = _flat_gain(
    "gain_for_larger_inputs",
    2 * INPUTS,
    (
        lambda gain: abs(growth_per_step(gain) - 1) <= TOLERANCE,
        ": that is the gain for the smaller inputs; larger ones saturate more units",
    ),
)
