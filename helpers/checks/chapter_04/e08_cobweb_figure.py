"""Exercise 8: four cobwebs, and what the state does in the long run."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.dynamics import Map, fixed_points

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
    return combine("cobweb_figure", *MAPS.judge(names), _border().judge(border))


def four_maps() -> dict[str, Callable[[Tensor], Tensor]]:
    """Four maps h' = f(h) of one variable, elementwise."""
    return {label: _map(kind) for label, kind in MAPS.names.items()}


def _map(kind: str) -> Callable[[Tensor], Tensor]:
    if kind == "chaotic":
        return lambda h: torch.tanh(3 * h + 1.5) - torch.tanh(3 * h - 1.5) - 1
    w, b = NEURONS[kind]
    return lambda h: torch.tanh(w * h + b)


def _border() -> Number:
    """The unstable fixed point of the bistable neuron, between the two that are stable."""
    starts = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    lower, border, upper = fixed_points(Map(_map("bistable")), starts).states[:, 0].tolist()
    return Number(
        "border",
        truth=border,
        within=TOLERANCE,
        right=f"{border:.2f}, the crossing with a slope above 1, which all states leave",
        slips=(
            (lower, "that is where the states below the border come to rest"),
            (upper, "that is where the states above the border come to rest"),
            (0.0, "the border is 0 for a bias of 0 only"),
            (-border, "the sign is wrong: this neuron's bias pulls down, and from 0 the state falls"),
        ),
        recipe="find the crossing with the diagonal that the cobwebs leave on both sides",
    )
