"""Exercise 8: four cobwebs, and what the state does in the long run."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.attempt import as_number
from helpers.checks.naming import Figure, examine_names
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict

APPEARANCE = {
    "fixed": "one crossing with the diagonal, with a slope between -1 and 1, and both cobwebs end on it",
    "bistable": "three crossings with the diagonal, and each cobweb ends on its own",
    "periodic": "one crossing with a slope below -1, and the cobwebs settle on one rectangle around it",
    "chaotic": "the curve bends back, it crosses with a slope below -1, and the cobwebs never close",
}
MAPS = Figure("four maps", {"A": "periodic", "B": "chaotic", "C": "fixed", "D": "bistable"}, APPEARANCE)
NEURONS = {"periodic": (-2.0, 0.2), "fixed": (-0.9, 0.5), "bistable": (1.8, -0.15)}  # w and b
TOLERANCE = 0.05


def cobweb_figure(names: object, border: object) -> Verdict:
    """Exercise 8: what each of the `four_maps` does, and the border between the two memories of one."""
    return examine_names("cobweb_figure", MAPS, names, border, _border_read)


def four_maps() -> dict[str, Callable[[Tensor], Tensor]]:
    """Four maps h' = f(h) of one variable, elementwise."""
    return {label: _map(kind) for label, kind in MAPS.names.items()}


def _map(kind: str) -> Callable[[Tensor], Tensor]:
    if kind == "chaotic":
        return lambda h: torch.tanh(3 * h + 1.5) - torch.tanh(3 * h - 1.5) - 1
    w, b = NEURONS[kind]
    return lambda h: torch.tanh(w * h + b)


def _crossing(h: float) -> float:
    """A fixed point of the bistable neuron, by Newton's method from h."""
    w, b = NEURONS["bistable"]
    for _ in range(50):
        f = math.tanh(w * h + b)
        h -= (f - h) / (w * (1 - f**2) - 1)
    return h


def _border_read(answer: object) -> Item:
    h = as_number(answer)
    if h is None:
        return no_number("border", answer)
    lower, border, upper = map(_crossing, (-1.0, 0.0, 1.0))
    if abs(h - border) <= TOLERANCE:
        return Item(True, f"border: {border:.2f}, the crossing with a slope above 1, which all states leave")
    slips = (
        (lower, "that is where the states below the border come to rest"),
        (upper, "that is where the states above the border come to rest"),
        (0.0, "the border is 0 for a bias of 0 only"),
        (
            -border,
            "the sign is wrong: this neuron's bias pulls down, and from 0 the state falls",
        ),
    )
    recipe = "find the crossing with the diagonal that the cobwebs leave on both sides"
    return wrong_number("border", h, slips, recipe, within=TOLERANCE)
