"""Exercise 5: the linear RNN that is one step of Euler's method, and the longest step it can take."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from helpers.checks.examine import Case, Misconception
from helpers.checks.parts import examine_parts
from helpers.checks.verdict import Verdict


def _longest(J: Tensor, limit: Callable = lambda e: -2 * e.real / e.abs() ** 2) -> Tensor:
    """The least of the eigenvalues' limits."""
    return limit(torch.linalg.eigvals(J)).min()


def _limits(limit: Callable) -> Callable[..., Tensor]:
    return lambda J, c, dt: _longest(J, limit)


def _euler_rnn(J: Tensor, c: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.eye(len(J)) + dt * J, dt * c, _longest(J)


def _of_the_fastest(J: Tensor, c: Tensor, dt: Tensor) -> Tensor:
    e = torch.linalg.eigvals(J)
    fastest = e[e.abs().argmax()]
    return -2 * fastest.real / fastest.abs() ** 2


W_IDEAS = (
    Misconception(
        "you forget the state itself: a step adds Δt J h to h, hence I + Δt J",
        lambda J, c, dt: dt * J,
    ),
    Misconception(
        "you forget Δt: in a short time little changes",
        lambda J, c, dt: torch.eye(len(J)) + J,
    ),
    Misconception(
        "e^(Δt J) is the exact solution over a step; Euler's method goes straight, I + Δt J",
        lambda J, c, dt: torch.linalg.matrix_exp(dt * J),
    ),
    Misconception(
        "(I - Δt J)⁻¹ is the implicit Euler method, which takes the slope at the end of the step",
        lambda J, c, dt: torch.linalg.inv(torch.eye(len(J)) - dt * J),
    ),
    Misconception(
        "the sign is wrong: the slope J h + c is added",
        lambda J, c, dt: torch.eye(len(J)) - dt * J,
    ),
    Misconception(
        "you add 1 to every entry; the identity matrix, `torch.eye`, has ones on its diagonal only",
        lambda J, c, dt: 1 + dt * J,
    ),
    Misconception(
        "you use the transpose of J; h is a column, W h",
        lambda J, c, dt: torch.eye(len(J)) + dt * J.T,
    ),
)
B_IDEAS = (
    Misconception("c is a rate too: a step adds Δt c", lambda J, c, dt: c.clone()),
    Misconception("the sign is wrong: the slope J h + c is added", lambda J, c, dt: -dt * c),
    Misconception(
        "the bias is what a step adds, Δt c; you return the equilibrium -J⁻¹ c",
        lambda J, c, dt: -torch.linalg.solve(J, c),
    ),
)
LONGEST_IDEAS = (
    Misconception(
        "the fastest eigenvalue is not always the one that sets the limit: a slower one that oscillates with "
        "little damping may set a shorter one. Take the least over all",
        _of_the_fastest,
    ),
    Misconception(
        "2/|λ| holds for real λ only. Where λ is complex, write |1 + Δt λ|² < 1 out with λ = α + iω: a "
        "weakly damped oscillation needs far shorter steps",
        _limits(lambda e: 2 / e.abs()),
    ),
    Misconception(
        "1/|λ| is the time constant; the limit is where |1 + Δt λ| = 1",
        _limits(lambda e: 1 / e.abs()),
    ),
    Misconception(
        "you drop the imaginary part: the faster the oscillation, the earlier 1 + Δt λ leaves the unit "
        "circle, whatever the real part",
        _limits(lambda e: -2 / e.real),
    ),
    Misconception(
        "below -1/λ a real λ does not even overshoot; the limit asked for is where |1 + Δt λ| = 1",
        _limits(lambda e: -1 / e.real),
    ),
    Misconception(
        "you lack a factor 2: |1 + Δt λ|² = 1 + 2 Δt Re λ + Δt² |λ|²",
        _limits(lambda e: -e.real / e.abs() ** 2),
    ),
    Misconception(
        "you divide by |λ|, not by its square",
        _limits(lambda e: -2 * e.real / e.abs()),
    ),
    Misconception(
        "every eigenvalue must stay in the unit circle: take the least of the limits, not the greatest",
        lambda J, c, dt: -_longest(J, lambda e: 2 * e.real / e.abs() ** 2),
    ),
    Misconception(
        "your limit is negative: Re λ < 0 where deviations fade, and the minus cancels it",
        _limits(lambda e: 2 * e.real / e.abs() ** 2),
    ),
)


def euler_rnn(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(J (H, H), c (H,), dt ()) -> W (H, H), b (H,), dt_max ()`."""
    generator = torch.Generator().manual_seed(seed)
    spiral = torch.tensor([[-1.0, -7.0], [7.0, -1.0]])
    cases = (
        Case("decay at 4 per h, by hand", _flow(torch.tensor([[-4.0]]), [2.0], 0.1)),
        Case("an oscillation that fades", _flow(spiral, [1.0, 0.0], 0.01)),
        Case(
            "an oscillation beside a fast decay",
            _flow(torch.block_diag(spiral, torch.tensor([[-20.0]])), [0.0, 1.0, 5.0], 0.02),
        ),
        Case("six variables at random", _flow(_random(generator, units=6), [1, 0, 2, 0, 3, 0], 0.05)),
    )
    ideas = {"W": W_IDEAS, "b": B_IDEAS, "dt_max": LONGEST_IDEAS}
    return examine_parts("euler_rnn", answer, cases, _euler_rnn, ideas)


def _flow(J: Tensor, c: list[float], dt: float) -> dict[str, Tensor]:
    return {"J": J, "c": torch.tensor(c, dtype=torch.float32), "dt": torch.tensor(dt)}


def _random(generator: Generator, units: int) -> Tensor:
    """A Jacobian of which all eigenvalues have a negative real part."""
    J = torch.randn(units, units, generator=generator)
    return J - (torch.linalg.eigvals(J).real.max() + 1) * torch.eye(units)
