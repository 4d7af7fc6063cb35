"""Exercise 4: one toggle switch as a law, as a law with an input, as a law with noise, and as a map."""

import torch
from torch import Tensor

from helpers.checks.attempt import as_number
from helpers.checks.naming import Figure, examine_names
from helpers.checks.numbers import no_number, wrong_number
from helpers.checks.verdict import Item, Verdict
from helpers.dynamics import Flow
from helpers.systems import ToggleSwitch

APPEARANCE = {
    "law": "smooth lines that come close and never cross: through each point goes one solution only",
    "input": "smooth lines that cross: the rate depends on the time too, which the plane does not show",
    "noise": "ragged lines that cross and turn at every point: they have no derivative",
    "map": "corners with straight lines between them, which overshoot and cross: the state jumps",
}
NAMES = {"A": "input", "B": "noise", "C": "law", "D": "map"}
SWITCHES = Figure("four pictures", NAMES, APPEARANCE, phrases=True)
SWITCH = ToggleSwitch(3.0)
STARTS = ((0.3, 0.6), (0.6, 0.3), (3.4, 3.0), (3.0, 3.4), (0.2, 3.6), (3.6, 0.2))
STEP, LONG_STEP = 0.02, 1.0  # lifetimes
TOLERANCE = 0.1


def switch_figure(names: object, saddle: object) -> Verdict:
    """Exercise 4: what each of the `four_switches` shows, and the u of the saddle of the law."""
    return examine_names("switch_figure", SWITCHES, names, saddle, _saddle_read)


def four_switches() -> dict[str, Tensor]:
    """Six trajectories of each kind, (6, T, 2)."""
    kinds = {"law": _law, "input": _with_input, "noise": _with_noise, "map": _jumps}
    return {label: kinds[kind]() for label, kind in SWITCHES.names.items()}


def _starts() -> Tensor:
    return torch.tensor(STARTS, dtype=torch.float64)


def _followed(step, state: Tensor, steps: int) -> Tensor:
    states = [state]
    for _ in range(steps):
        states.append(step(states[-1]))
    return torch.stack(states, 1)


def _law() -> Tensor:
    return _followed(Flow(SWITCH).every(STEP).step, _starts(), steps=800)


def _with_input() -> Tensor:
    """Synthesis of u goes up and down; the time is a third variable, of which the plane shows nothing."""

    def field(t: float, state: Tensor) -> Tensor:
        y, clock = state[:, :2], state[:, 2:]
        synthesis = SWITCH(t, y)[:, :1] + y[:, :1]
        dose = torch.cat([0.8 * torch.sin(2 * clock) * synthesis, torch.zeros_like(clock)], 1)
        return torch.cat([SWITCH(t, y) + dose, torch.ones_like(clock)], 1)

    start = torch.cat([_starts(), torch.zeros(len(STARTS), 1)], 1)
    return _followed(Flow(field).every(STEP).step, start, steps=350)[..., :2]


def _with_noise() -> Tensor:
    generator = torch.Generator().manual_seed(8)

    def step(state: Tensor) -> Tensor:
        kick = 0.35 * STEP**0.5 * torch.randn(state.shape, generator=generator, dtype=state.dtype)
        return (state + STEP * SWITCH(0.0, state) + kick).abs()

    return _followed(step, _starts(), steps=250)


def _jumps() -> Tensor:
    """Euler's method with a step as long as a protein lives: u ← α / (1 + vⁿ), v ← α / (1 + uⁿ)."""
    return _followed(lambda state: state + LONG_STEP * SWITCH(0.0, state), _starts(), steps=8)


def _saddle() -> float:
    """u = v with u (1 + u²) = α, by Newton's method."""
    u = 1.0
    for _ in range(50):
        u -= (u + u**3 - SWITCH.alpha) / (1 + 3 * u**2)
    return u


def _saddle_read(answer: object) -> Item:
    u = as_number(answer)
    if u is None:
        return no_number("saddle", answer)
    saddle = _saddle()
    if abs(u - saddle) <= TOLERANCE:
        found = (
            f"saddle: u = v = {saddle:.2f}, to which the lines come from both ends of the diagonal, and part"
        )
        return Item(True, found)
    high = (SWITCH.alpha + (SWITCH.alpha**2 - 4) ** 0.5) / 2
    slips = (
        (high, "that is a stable state, where u has won: lines end there"),
        (1 / high, "that is a stable state, where v has won: lines end there"),
        (SWITCH.alpha, "that is α; at the saddle each gene still represses the other"),
        (SWITCH.alpha / 2, "that is α/2; each gene represses the other by more than half"),
    )
    recipe = "find the place on the diagonal u = v at which lines that came together part"
    return wrong_number("saddle", u, slips, recipe, within=TOLERANCE)
