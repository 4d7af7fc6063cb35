"""Exercise 9: four gradient profiles, told apart in a figure, what mends them, and which will be slow."""

import math

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
REMEDY = {
    "truncated": "longer window",
    "vanishing": "larger radius",
    "detached": "no detach",
    "exploding": "clip",
}
MENDS = {
    "longer window": "it moves a cliff further into the past, for more memory, and does nothing where a line "
    "has fallen before the cliff",
    "larger radius": "at the start of training it makes a line level that fell, so that there is something "
    "to learn from; it promises nothing for later",
    "no detach": "it gives a network its past back that had none at all; no tuning can",
    "clip": "it keeps short the steps along a gradient that is too long; it lengthens none, and states that "
    "explode go on exploding: start smaller as well",
}
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


NORMAL = 126 * math.log(2)  # float32 is normal down to 2^-126, subnormal down to 2^-149
SLOW_FROM = Number(
    "slow_from",
    truth=NORMAL / -math.log(GAIN["vanishing"]),
    relatively=0.07,
    right="{answer:g}; by the factor 0.6 per step it is 126 ln 2 / ln(1/0.6) = 171",
    slips=(
        (149 / 126 * NORMAL / -math.log(GAIN["vanishing"]), "there it becomes exactly zero, and fast again"),
        (24 / 126 * NORMAL / -math.log(GAIN["vanishing"]), "there it is lost beside a term of size 1"),
        (1022 / 126 * NORMAL / -math.log(GAIN["vanishing"]), "that is float64, which is normal to 2^-1022"),
        (lambda answer: answer <= STEPS, "in the figure all is still far above 10^-38: follow the line on"),
    ),
    recipe="read the factor per step off the line that falls, and solve factor^j = 2^-126 for j",
)
REMEDIES = Figure(
    "four remedies",
    {f"remedy for {label}": remedy for label, remedy in zip("ABCD", REMEDY.values(), strict=True)},
    MENDS,
    phrases=True,
)


def profile_figure(names: object, window_read: object, slow_from: object, remedies: object) -> Verdict:
    """Exercise 9: which of the `four_profiles` is which, two numbers read off them, and four remedies."""
    numbers = WINDOW_READ.judge(window_read), SLOW_FROM.judge(slow_from)
    return combine("profile_figure", *PROFILES.judge(names), *numbers, *REMEDIES.judge(remedies))


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
