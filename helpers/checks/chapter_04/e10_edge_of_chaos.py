"""Exercise 10: the gain at which a random network stops forgetting where it started."""

from functools import partial

import torch
from torch import Tensor

from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.dynamics import Map, lyapunov_spectrum
from helpers.statespace import spectral_radius

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
    alone, driven = _gain().judge(gain, prediction), GAIN_WITH_INPUTS.judge(gain_with_inputs)
    return combine("edge_of_chaos", alone, driven)


IMPOSSIBLE = ((lambda gain: gain <= 0, "{answer:g} is not a gain that amplifies; try positive ones"),)
GAIN_WITH_INPUTS = Number(
    "gain_with_inputs",
    truth=0.0,
    within=TOLERANCE,
    effect=partial(largest_exponent, inputs=1.0),
    right="at {answer:g}, λ_1 = {effect:.3f}; inputs saturate the units, where tanh is flat, and so hold "
    "chaos back",
    wrong="at {answer:g}, λ_1 = {effect:.3f}",
    recipe=(": go higher", ": go lower"),
    impossible=IMPOSSIBLE,
)


def _gain() -> Number:
    """Without inputs λ_1 reaches 0 where the spectral radius of gain · W reaches 1."""
    radius = spectral_radius(random_weights()).item()
    return Number(
        "gain",
        truth=1.0,
        within=TOLERANCE,
        effect=lambda gain: gain * radius,
        right=f"λ_1 reaches 0 at {1 / radius:.3f}, 1 over the spectral radius {radius:.3f} of W",
        wrong=lambda gain: f"at {gain:g}, λ_1 = {largest_exponent(gain):.3f}; ",
        slips=((lambda gain: gain * radius >= 1.5, "λ_1 reached 0 long before: go lower"),),
        recipe=(
            "the state still falls to 0: go higher",
            "the state has left 0 already, and rests or goes round elsewhere: go lower",
        ),
        impossible=IMPOSSIBLE,
    )
