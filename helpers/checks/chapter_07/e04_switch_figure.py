"""Exercise 4: one toggle switch as a law, as a law with an input, as a law with noise, and as a map."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.dynamics import Flow, fixed_points
from helpers.systems import ToggleSwitch

APPEARANCE = {
    "law": "smooth lines that come close and never cross: through each point goes one solution only",
    "input": "smooth lines that cross: the rate depends on the time too, which the plane does not show",
    "noise": "ragged lines that cross and turn at every point: they have no derivative",
    "map": "corners with straight lines between them, which overshoot and cross: the state jumps",
}
SWITCHES = Figure(
    "four pictures", {"A": "input", "B": "noise", "C": "law", "D": "map"}, APPEARANCE, phrases=True
)
SWITCH = ToggleSwitch(3.0)
STARTS = torch.tensor(
    [[0.3, 0.6], [0.6, 0.3], [3.4, 3.0], [3.0, 3.4], [0.2, 3.6], [3.6, 0.2]], dtype=torch.float64
)
STEP = 0.02  # lifetimes


def switch_figure(names: object, saddle: object) -> Verdict:
    """Exercise 4: what each of the `four_switches` shows, and the u of the saddle of the law."""
    return combine("switch_figure", *SWITCHES.judge(names), _saddle().judge(saddle))


def four_switches() -> dict[str, Tensor]:
    """Six trajectories of each kind, (6, T, 2)."""
    clocks = torch.zeros(len(STARTS), 1)
    kinds = {
        "law": _trajectories(Flow(SWITCH).every(STEP).step, STARTS, steps=800),
        "input": _trajectories(
            Flow(_dosed_switch).every(STEP).step, torch.cat([STARTS, clocks], 1), steps=350
        ),
        "noise": _trajectories(_noisy_step(torch.Generator().manual_seed(8)), STARTS, steps=250),
        "map": _trajectories(_jump, STARTS, steps=8),
    }
    return {label: kinds[kind][..., :2] for label, kind in SWITCHES.names.items()}


def _trajectories(step: Callable[[Tensor], Tensor], state: Tensor, steps: int) -> Tensor:
    states = [state]
    for _ in range(steps):
        states.append(step(states[-1]))
    return torch.stack(states, 1)


def _dosed_switch(t: float, state: Tensor) -> Tensor:
    """Synthesis of u goes up and down; the time is a third variable, of which the plane shows nothing."""
    y, clock = state[:, :2], state[:, 2:]
    synthesis = SWITCH(t, y)[:, :1] + y[:, :1]
    dose = torch.cat([0.8 * torch.sin(2 * clock) * synthesis, torch.zeros_like(clock)], 1)
    return torch.cat([SWITCH(t, y) + dose, torch.ones_like(clock)], 1)


def _noisy_step(generator: Generator) -> Callable[[Tensor], Tensor]:
    """A step of the Euler-Maruyama method, after which amounts are positive."""

    def step(state: Tensor) -> Tensor:
        kick = 0.35 * STEP**0.5 * torch.randn(state.shape, generator=generator, dtype=state.dtype)
        return (state + STEP * SWITCH(0.0, state) + kick).abs()

    return step


def _jump(state: Tensor) -> Tensor:
    """Euler's method with a step as long as a protein lives: u ← α / (1 + vⁿ), v ← α / (1 + uⁿ)."""
    return state + SWITCH(0.0, state)


def _saddle() -> Number:
    """The u of the saddle, where u = v, between two stable states."""
    starts = torch.tensor([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
    low, saddle, high = fixed_points(Flow(SWITCH), starts).states[:, 0].tolist()
    return Number(
        "saddle",
        truth=saddle,
        within=0.1,
        right=f"u = v = {saddle:.2f}, to which the lines come from both ends of the diagonal, and part",
        slips=(
            (high, "that is a stable state, where u has won: lines end there"),
            (low, "that is a stable state, where v has won: lines end there"),
            (SWITCH.alpha, "that is α; at the saddle each gene still represses the other"),
            (SWITCH.alpha / 2, "that is α/2; each gene represses the other by more than half"),
        ),
        recipe="find the place on the diagonal u = v at which lines that came together part",
    )
