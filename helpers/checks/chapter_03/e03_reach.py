"""Exercise 3: after how many steps a gradient has faded."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _radius(W: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(W).abs().amax(-1)


def _steps(rho: Tensor, epsilon: Tensor) -> Tensor:
    return epsilon.log() / rho.log()


def _reach(
    W: Tensor,
    epsilon: Tensor,
    *,
    size: Callable = _radius,
    steps: Callable = _steps,
    rounding: Callable = torch.ceil,
) -> Tensor:
    """The smallest T with ρ^T ≤ ε, infinite where ρ ≥ 1."""
    rho = size(W.double())
    return torch.where(rho >= 1, torch.inf, rounding(steps(rho, epsilon.double())))


_TWO_BASES = "you mix logarithms of two bases; the same base above and below, whichever it is"

MISCONCEPTIONS = (
    (
        "with ρ ≥ 1 the gradient never falls, and the answer is `torch.inf`; yours is where it was in the "
        "past, or a division by ln 1 = 0",
        lambda W, epsilon: _steps(_radius(W.double()), epsilon.double()).ceil(),
    ),
    (
        "you round down: at that step the gradient is still above ε. The first whole step at or below it is "
        "the next one",
        partial(_reach, rounding=torch.floor),
    ),
    ("T counts steps, so it is a whole number: round up", partial(_reach, rounding=torch.positive)),
    (
        "you count one step too many: h_T has been through the weight T times, not T - 1 times",
        partial(_reach, rounding=lambda steps: steps.ceil() + 1),
    ),
    (
        "your quotient is upside down: T ln ρ ≤ ln ε, solved for T, has ln ε above",
        partial(_reach, steps=lambda rho, epsilon: rho.log() / epsilon.log()),
    ),
    (_TWO_BASES, partial(_reach, steps=lambda rho, epsilon: epsilon.log10() / rho.log())),
    (_TWO_BASES, partial(_reach, steps=lambda rho, epsilon: epsilon.log() / rho.log10())),
    (
        "the sign is wrong: ln ε and ln ρ are both negative, and their quotient is positive",
        partial(_reach, steps=lambda rho, epsilon: -_steps(rho, epsilon)),
    ),
    (
        "that is the number of steps in which the gradient halves; you are asked when it is down to ε",
        partial(_reach, steps=lambda rho, epsilon: -1 / rho.log2()),
    ),
    (
        "ln(1/ρ) ≈ 1 - ρ is good near ρ = 1 only; at ρ = 0.5 and ε = 0.1 it says 5 steps where 4 are enough",
        partial(_reach, steps=lambda rho, epsilon: -epsilon.log() / (1 - rho)),
    ),
    (
        "you take the largest eigenvalue with its sign; an eigenvalue of -0.8 counts for 0.8, since the "
        "gradient flips its sign and shrinks no faster",
        partial(_reach, size=lambda W: torch.linalg.eigvalsh(W).amax(-1)),
    ),
    (
        "you take the Frobenius norm, the root of the sum of all squares; what a product keeps in the long "
        "run is the largest |eigenvalue|",
        partial(_reach, size=lambda W: W.square().sum((-2, -1)).sqrt()),
    ),
    (
        "you take the largest entry of W; what a product keeps in the long run is the largest |eigenvalue|",
        partial(_reach, size=lambda W: W.abs().amax((-2, -1))),
    ),
)


def reach(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(W (N, H, H), epsilon ()) -> (N,)` for symmetric W: the first T with ρ^T ≤ ε."""
    cases = {
        "one unit, s = 1/2, ε = 0.1, by hand": _fading(_units(0.5), 0.1),
        "s = 0.5, 0.9 and 0.98, ε = 10⁻⁶": _fading(_units(0.5, 0.9, 0.98), 1e-6),
        "a unit that flips its sign, s = -0.8": _fading(_units(-0.8), 0.01),
        "units that keep or grow": _fading(_units(1.0, 1.2), 0.01),
        "symmetric matrices of three units, at random": _fading(_symmetric(seed), 1e-3),
    }
    return examine("reach", answer, cases, _reach, MISCONCEPTIONS)


def _fading(W: Tensor, epsilon: float) -> dict[str, Tensor]:
    return {"W": W, "epsilon": torch.tensor(epsilon)}


def _units(*weights: float) -> Tensor:
    return torch.tensor(weights)[:, None, None]


def _symmetric(seed: int) -> Tensor:
    """Random symmetric matrices of ρ = 0.6, 0.85 and 0.95; the eigenvalue that counts is + ρ, - ρ, - ρ."""
    G = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    symmetric = G + G.mT
    eigenvalues = torch.linalg.eigvalsh(symmetric)  # ascending
    leading = torch.where(-eigenvalues[:, 0] > eigenvalues[:, 2], eigenvalues[:, 0], eigenvalues[:, 2])
    return (symmetric * (torch.tensor([0.6, -0.85, -0.95]) / leading)[:, None, None]).float()
