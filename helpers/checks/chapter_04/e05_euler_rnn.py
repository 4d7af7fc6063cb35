"""Exercise 5: the linear RNN that is one step of Euler's method, and the longest step it can take."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _limit(e: Tensor) -> Tensor:
    """The step at which |1 + Δt λ| = 1, for each eigenvalue of a deviation that fades."""
    return -2 * e.real / e.abs() ** 2


def _euler_rnn(
    J: Tensor, c: Tensor, dt: Tensor, *, longest: Callable = lambda e: _limit(e).min()
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.eye(len(J)) + dt * J, dt * c, longest(torch.linalg.eigvals(J))


OF_W = (
    ("you forget the state itself: a step adds Δt J h to h, hence I + Δt J", lambda J, c, dt: dt * J),
    ("you forget Δt: in a short time little changes", lambda J, c, dt: torch.eye(len(J)) + J),
    (
        "e^(Δt J) is the exact solution over a step; Euler's method goes straight, I + Δt J",
        lambda J, c, dt: torch.linalg.matrix_exp(dt * J),
    ),
    (
        "(I - Δt J)⁻¹ is the implicit Euler method, which takes the slope at the end of the step",
        lambda J, c, dt: torch.linalg.inv(torch.eye(len(J)) - dt * J),
    ),
    ("the sign is wrong: the slope J h + c is added", lambda J, c, dt: torch.eye(len(J)) - dt * J),
    (
        "you add 1 to every entry; the identity matrix, `torch.eye`, has ones on its diagonal only",
        lambda J, c, dt: 1 + dt * J,
    ),
    ("you use the transpose of J; h is a column, W h", lambda J, c, dt: torch.eye(len(J)) + dt * J.T),
)
OF_B = (
    ("c is a rate too: a step adds Δt c", lambda J, c, dt: c.clone()),
    ("the sign is wrong: the slope J h + c is added", lambda J, c, dt: -dt * c),
    (
        "the bias is what a step adds, Δt c; you return the equilibrium -J⁻¹ c",
        lambda J, c, dt: -torch.linalg.solve(J, c),
    ),
)
OF_DT_MAX = (
    (
        "the fastest eigenvalue is not always the one that sets the limit: a slower one that oscillates with "
        "little damping may set a shorter one. Take the least over all",
        partial(_euler_rnn, longest=lambda e: _limit(e)[e.abs().argmax()]),
    ),
    (
        "2/|λ| holds for real λ only. Where λ is complex, write |1 + Δt λ|² < 1 out with λ = α + iω: a "
        "weakly damped oscillation needs far shorter steps",
        partial(_euler_rnn, longest=lambda e: (2 / e.abs()).min()),
    ),
    (
        "1/|λ| is the time constant; the limit is where |1 + Δt λ| = 1",
        partial(_euler_rnn, longest=lambda e: (1 / e.abs()).min()),
    ),
    (
        "you drop the imaginary part: the faster the oscillation, the earlier 1 + Δt λ leaves the unit "
        "circle, whatever the real part",
        partial(_euler_rnn, longest=lambda e: (-2 / e.real).min()),
    ),
    (
        "below -1/λ a real λ does not even overshoot; the limit asked for is where |1 + Δt λ| = 1",
        partial(_euler_rnn, longest=lambda e: (-1 / e.real).min()),
    ),
    (
        "you lack a factor 2: |1 + Δt λ|² = 1 + 2 Δt Re λ + Δt² |λ|²",
        partial(_euler_rnn, longest=lambda e: _limit(e).min() / 2),
    ),
    (
        "you divide by |λ|, not by its square",
        partial(_euler_rnn, longest=lambda e: (-2 * e.real / e.abs()).min()),
    ),
    (
        "every eigenvalue must stay in the unit circle: take the least of the limits, not the greatest",
        partial(_euler_rnn, longest=lambda e: _limit(e).max()),
    ),
    (
        "your limit is negative: Re λ < 0 where deviations fade, and the minus cancels it",
        partial(_euler_rnn, longest=lambda e: -_limit(e).max()),
    ),
)


def euler_rnn(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(J (H, H), c (H,), dt ()) -> W (H, H), b (H,), dt_max ()`."""
    generator = torch.Generator().manual_seed(seed)
    spiral = torch.tensor([[-1.0, -7.0], [7.0, -1.0]])
    cases = {
        "decay at 4 per h, by hand": _flow(torch.tensor([[-4.0]]), [2.0], 0.1),
        "an oscillation that fades": _flow(spiral, [1.0, 0.0], 0.01),
        "an oscillation beside a fast decay": _flow(
            torch.block_diag(spiral, torch.tensor([[-20.0]])), [0.0, 1.0, 5.0], 0.02
        ),
        "six variables at random": _flow(_random(generator, units=6), [1, 0, 2, 0, 3, 0], 0.05),
    }
    ideas = {"W": OF_W, "b": OF_B, "dt_max": OF_DT_MAX}
    return examine("euler_rnn", answer, cases, _euler_rnn, ideas)


def _flow(J: Tensor, c: list[float], dt: float) -> dict[str, Tensor]:
    return {"J": J, "c": torch.tensor(c, dtype=torch.float32), "dt": torch.tensor(dt)}


def _random(generator: Generator, units: int) -> Tensor:
    """A Jacobian of which all eigenvalues have a negative real part."""
    J = torch.randn(units, units, generator=generator)
    return J - (torch.linalg.eigvals(J).real.max() + 1) * torch.eye(units)
