"""Exercise 7: four gradient profiles, told apart in a figure."""

import torch
from torch import Tensor

from helpers.checks.figures import Figure
from helpers.checks.numbers import Number
from helpers.checks.verdict import Verdict, combine
from helpers.recurrent import VanillaRNN, gradient_profile, orthogonal_

STEPS, WINDOW = 40, 14
GAIN = {"truncated": 0.9, "vanishing": 0.6, "detached": 1.0, "exploding": 1.25}
APPEARANCE = {
    "vanishing": "it falls by the same factor at every step, a line on this axis, and never is exactly zero",
    "exploding": "it rises towards the past, by the same factor at every step",
    "detached": "it is exactly zero one step before the end already",
    "truncated": "it runs on like any other for a while, and then is exactly zero from one step to the next",
}
PROFILES = Figure(
    "four profiles", {"A": "truncated", "B": "vanishing", "C": "detached", "D": "exploding"}, APPEARANCE
)
WINDOW_READ = Number(
    "window_read",
    truth=WINDOW,
    right=f"{WINDOW}; h(T) and the {WINDOW - 1} states before it are reached",
    slips=(
        (WINDOW - 1, "that is the last step with a gradient; counted from 0, it is the last of one more"),
        (
            WINDOW + 1,
            "one less: the first zero is at the state that enters the window, which is held constant",
        ),
        (
            STEPS - WINDOW,
            "that is the step k at which the window starts; K is its length, counted from the end",
        ),
        (STEPS, "that is the length of the series"),
    ),
    recipe="count the states, h(T) included, whose gradient is not zero",
)


def profile_figure(names: object, window_read: object) -> Verdict:
    """Exercise 7: which of the `four_profiles` is which, and the window of the truncated one."""
    return combine("profile_figure", *PROFILES.judge(names), WINDOW_READ.judge(window_read))


def four_profiles(seed: int = 11) -> dict[str, Tensor]:
    """‖∂L/∂h_{T-j}‖ for j = 0 … 40 steps before the end, shape (41,), of four linear networks."""
    generator = torch.Generator().manual_seed(seed)
    return {label: _profile(kind, generator) for label, kind in PROFILES.names.items()}


class _Cut(VanillaRNN):
    """A network whose state is detached wherever its last input is 1."""

    def project(self, x: Tensor) -> Tensor:
        return torch.cat([super().project(x[..., :-1]), x[..., -1:]], -1)

    def step(self, h: Tensor, p: Tensor) -> Tensor:
        h = torch.where(p[:, -1:] == 1, h.detach(), h)
        return super().step(h, p[:, :-1])


def _profile(kind: str, generator: torch.Generator) -> Tensor:
    rnn = _Cut(1, 8, "linear", generator=generator, dtype=torch.float64)
    orthogonal_(rnn.W_hh, GAIN[kind], generator=generator)
    x = torch.randn(1, STEPS, 2, generator=generator, dtype=torch.float64)
    x[..., 1] = {"detached": torch.ones(STEPS), "truncated": torch.eye(STEPS)[-WINDOW]}.get(kind, 0.0)
    weight = torch.randn(8, generator=generator, dtype=torch.float64)
    profile = gradient_profile(rnn, x, lambda states: states[:, -1] @ (weight / weight.norm()))
    return profile.norms[0].flip(0)
