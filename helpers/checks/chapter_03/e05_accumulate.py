"""Exercise 5: one sum for the error of an ODE solver and for the gradient of a network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _accumulate(J: Tensor, tau: Tensor, *, step: Callable = lambda e, J_n, tau_n: J_n @ e + tau_n) -> Tensor:
    """e_N from e_n = J_n e_{n-1} + τ_n and e_0 = 0."""
    e = torch.zeros_like(tau[0])
    for J_n, tau_n in zip(J, tau, strict=True):
        e = step(e, J_n, tau_n)
    return e


def _in_the_wrong_order(J: Tensor, tau: Tensor) -> Tensor:
    """Σ_n (J_{n+1} ⋯ J_N) τ_n: each product multiplied together from the wrong side."""
    product, e = torch.eye(tau.shape[1], dtype=tau.dtype), torch.zeros_like(tau[0])
    for J_n, tau_n in zip(J.flip(0), tau.flip(0), strict=True):
        e = e + product @ tau_n
        product = J_n @ product
    return e


def _of_the_steps_before(J: Tensor, tau: Tensor) -> Tensor:
    """Σ_n (J_n ⋯ J_1) τ_n."""
    product, e = torch.eye(tau.shape[1], dtype=tau.dtype), torch.zeros_like(tau[0])
    for J_n, tau_n in zip(J, tau, strict=True):
        product = J_n @ product
        e = e + product @ tau_n
    return e


MISCONCEPTIONS = (
    (
        "you carry τ_n through step n itself; it is made in that step, and the steps after it, k > n, carry "
        "it on",
        partial(_accumulate, step=lambda e, J_n, tau_n: J_n @ (e + tau_n)),
    ),
    (
        "you add up what each step makes, as if nothing happened to it later: each later step multiplies it "
        "by its Jacobian",
        lambda J, tau: tau.sum(0),
    ),
    (
        "you carry on with the Jacobian of the step before: step n multiplies what came from step n - 1 "
        "by J_n",
        lambda J, tau: _accumulate(torch.cat([J[:1], J[:-1]]), tau),
    ),
    (
        "you use transposes; Jᵀ leads backwards, from the loss to the states. Here it goes forwards, with J",
        lambda J, tau: _accumulate(J.mT, tau),
    ),
    (
        "your products are in the wrong order: the later step stands on the left, J_N ⋯ J_{n+1}",
        _in_the_wrong_order,
    ),
    (
        "you multiply by the Jacobians of the steps before; what step n makes meets those after it only",
        _of_the_steps_before,
    ),
    (
        "you use the last Jacobian at every step; each step has its own",
        lambda J, tau: _accumulate(J[-1:].expand_as(J), tau),
    ),
    (
        "you use the first Jacobian at every step; each step has its own",
        lambda J, tau: _accumulate(J[:1].expand_as(J), tau),
    ),
    (
        "your sum lacks the last step, whose τ_N nothing carries on: its product is empty, the identity",
        lambda J, tau: _accumulate(J, tau) - tau[-1],
    ),
    ("only the last step is in your sum", lambda J, tau: tau[-1]),
)


def accumulate(answer, seed: int = 1) -> Verdict:
    """Exercise 5: `answer(J (N, H, H), tau (N, H)) -> (H,)`: Σ_n (J_N ⋯ J_{n+1}) τ_n."""
    generator = torch.Generator().manual_seed(seed)
    numbers = {"J": torch.tensor([7.0, 3.0, 5.0])[:, None, None], "tau": torch.ones(3, 1)}
    cases = {
        "three steps of one unit, by hand": numbers,
        "local errors of Euler's method": _errors_of_euler(generator),
        "what each step of a tanh network adds to ∂h/∂b₁": _terms_of_a_bias(generator),
        "six steps, three units, at random": {
            "J": torch.randn(6, 3, 3, generator=generator) / 2,
            "tau": torch.randn(6, 3, generator=generator),
        },
    }
    return examine("accumulate", answer, cases, _accumulate, MISCONCEPTIONS)


def _errors_of_euler(generator: torch.Generator, steps: int = 12) -> dict[str, Tensor]:
    """Euler's method on y' = A(t) (y - c) + c', whose solution is c(t) = (cos t, sin t).

    Two species, of which the first drives the second, ever more strongly: each step has its own Jacobian.
    """
    dt = 0.1 + 0.1 * torch.rand((), generator=generator)
    t = dt * torch.arange(steps + 1)
    A = (1 + t[:-1, None, None]) * torch.tensor([[-1.0, 0.0], [2.0, -1.0]])
    exact = torch.stack([t.cos(), t.sin()], 1)  # (N + 1, 2)
    one_step = exact[:-1] + dt * torch.stack([-t.sin(), t.cos()], 1)[:-1]
    return {"J": torch.eye(2) + dt * A, "tau": one_step - exact[1:]}


def _terms_of_a_bias(generator: torch.Generator, steps: int = 9, units: int = 3) -> dict[str, Tensor]:
    """A tanh network that reads noise: J_t = diag(φ'(z_t)) W_hh, and what b_1 adds at step t."""
    W_hh = torch.randn(units, units, generator=generator) / units**0.5
    h, slopes = torch.zeros(units), []
    for read_t in torch.randn(steps, units, generator=generator):
        h = torch.tanh(read_t + W_hh @ h)
        slopes.append(1 - h**2)
    slope = torch.stack(slopes)  # (T, H)
    return {"J": slope[:, :, None] * W_hh, "tau": slope * torch.eye(units)[0]}
