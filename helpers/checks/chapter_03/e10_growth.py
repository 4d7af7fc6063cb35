"""Exercise 10: what the states of a tanh network say about its gradient, as a formula."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from helpers.checks.attempt import attempt
from helpers.checks.functions import examine
from helpers.checks.verdict import Item, Verdict
from helpers.recurrent import VanillaRNN, gradient_profile, orthogonal_

SETTINGS = ((0.5, 1.0), (0.8, 1.0), (1.2, 1.0), (1.5, 2.0), (2.0, 0.2))  # gain, standard deviation of inputs
LATER_SETTINGS = ((0.7, 2.0), (0.9, 1.0), (1.8, 0.2), (2.2, 1.0), (3.0, 0.5))
LARGEST_MISS = 0.05  # relatively; the right formula misses by at most 0.04, for gains up to 3
SAME = 0.002  # relatively: two formulas that agree to this are taken for one


def _slopes(h: Tensor) -> Tensor:
    return 1 - h**2


MISCONCEPTIONS = (
    (
        "that is the linear network's growth, as if every unit were at 0; φ', below 1 elsewhere, multiplies "
        "whatever passes back",
        lambda h, gain: gain * torch.ones(()),
    ),
    (
        "you average the slopes; a length adds *squares* over units, so that what counts is the root of the "
        "mean square of φ'",
        lambda h, gain: gain * _slopes(h).mean(),
    ),
    (
        "you multiply the slopes, by way of their logarithms, as if each unit kept its gradient to itself; "
        "the rotation mixes the units at each step, and then averages count",
        lambda h, gain: gain * _slopes(h).log().mean().exp(),
    ),
    (
        "that is how the *square* of the length grows per step: take the root",
        lambda h, gain: gain**2 * _slopes(h).square().mean(),
    ),
    (
        "the mean square of φ' lacks its root",
        lambda h, gain: gain * _slopes(h).square().mean(),
    ),
    (
        "the gain is missing: a step multiplies by diag(φ') and by W_hh",
        lambda h, gain: _slopes(h).square().mean().sqrt(),
    ),
    (
        "you take the largest slope, which bounds the growth; only a gradient in that one unit would "
        "reach it",
        lambda h, gain: gain * _slopes(h).amax(-1).mean(),
    ),
    (
        "that is 1 over the growth: you look forwards; the gradient goes from one state to the one before",
        lambda h, gain: 1 / (gain * _slopes(h).square().mean().sqrt()),
    ),
    (
        "φ' is 1 - h², with the square: h is squashed already",
        lambda h, gain: gain * (1 - h.abs()).square().mean().sqrt(),
    ),
    (
        "you take tanh' of h; h is squashed already, φ' = 1 - h²",
        lambda h, gain: gain * (1 - h.tanh() ** 2).square().mean().sqrt(),
    ),
)


def growth(answer, seed: int = 1) -> Verdict:
    """Exercise 10: `answer(h (B, T, H), gain ()) -> ()`, the growth of the gradient per step back.

    Measured gradients judge, in networks that the student has not seen. Seed 1 has other gains and inputs
    than every other seed.
    """
    settings = SETTINGS if seed == 1 else LATER_SETTINGS
    return examine(
        "growth",
        answer,
        cases={},  # a formula that is near enough is right: the measurement judges
        reference=_slopes,
        properties=lambda function: _judge(function, settings, seed),
    )


def measure_growth(
    gain: float, inputs: float, activation: str = "tanh", seed: int = 9
) -> tuple[float, Tensor]:
    """By which factor ‖∂L/∂h_k‖ grows from one state to the one before, and the states, (32, 50, 64).

    The geometric mean over 50 steps of 32 series, in a network of 64 units whose W_hh is `gain` times a
    rotation, and whose units each read independent noise of standard deviation `inputs`.
    """
    generator = torch.Generator().manual_seed(seed)
    rnn = VanillaRNN(64, 64, activation, bias=False, generator=generator, dtype=torch.float64)
    orthogonal_(rnn.W_hh, gain, generator=generator)
    torch.nn.init.eye_(rnn.W_xh)
    x = inputs * torch.randn(32, 80, 64, generator=generator, dtype=torch.float64)
    norms = gradient_profile(rnn, x, lambda states: states[:, -1].sum(-1)).norms  # (32, 81)
    with torch.no_grad():
        states = rnn(x)[:, 25:75]  # h_26 … h_75, through which the gradient passes from h_75 to h_25
    return ((norms[:, 25] / norms[:, 75]).log().mean() / 50).exp().item(), states


def _judge(function: Callable, settings: Iterable[tuple[float, float]], seed: int) -> list[Item]:
    """One item per network; a reason that has been given before is not repeated."""
    items, given = [], set()
    for gain, inputs in settings:
        measured, h = measure_growth(gain, inputs, seed=seed)
        arguments = {"h": h, "gain": torch.tensor(gain, dtype=torch.float64)}
        tried = attempt(function, arguments, torch.empty((), dtype=torch.float64))
        said = f"gain {gain:g}, inputs {inputs:g}: measured is {measured:.3f}"
        if tried.answer is not None:
            said += f", you say {tried.answer:.3f}"
        reason = tried.problem or _fault(tried.answer, measured, arguments)
        if reason:
            said += "; " + ("the same again" if reason in given else reason)
        items.append(Item(not reason, said))
        given.add(reason)
    return items


def _fault(answer: Tensor, measured: float, given: dict[str, Tensor]) -> str | None:
    """Which formula leads to an answer that is too far from the measurement."""
    if abs(answer / measured - 1) <= LARGEST_MISS:
        return None
    for sentence, formula in MISCONCEPTIONS:
        if torch.isclose(answer, formula(**given), rtol=SAME, atol=0.0):
            return sentence
    return "which slopes does a gradient meet on its way one step back, and how does its length follow?"
