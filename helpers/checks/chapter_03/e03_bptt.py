"""Exercise 3: backpropagation through time, for the recurrent weights of a tanh network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _by_autograd(h: Tensor, W_hh: Tensor, dL_dhT: Tensor) -> Tensor:
    """∂L/∂W_hh by PyTorch, from a network that is rebuilt to have these states."""
    h, dL_dhT, W = h.double(), dL_dhT.double(), W_hh.detach().double().requires_grad_()
    read = torch.atanh(h[1:]) - h[:-1] @ W.detach().T  # W_xh x_t + b, (T, H)
    with torch.enable_grad():
        h_t = h[0]
        for read_t in read:
            h_t = torch.tanh(read_t + W @ h_t)
        return torch.autograd.grad(h_t @ dL_dhT, W)[0]


def _by_hand(
    h: Tensor,
    W_hh: Tensor,
    dL_dhT: Tensor,
    *,
    slope: Callable = lambda h_t, before: 1 - h_t**2,
    state: Callable = lambda h_t, before: before,
    carry: Callable = lambda d, a, W: W.T @ d,
) -> Tensor:
    """Σ_t d_t h_{t-1}ᵀ with d_t = φ'(z_t) ⊙ a_t and a_{t-1} = Wᵀ d_t, each of which may be replaced."""
    a, gradient = dL_dhT, torch.zeros_like(W_hh)
    for h_t, before in zip(h[1:].flip(0), h[:-1].flip(0), strict=True):
        d = slope(h_t, before) * a
        gradient = gradient + torch.outer(d, state(h_t, before))
        a = carry(d, a, W_hh)
    return gradient


MISCONCEPTIONS = (
    (
        "you forgot φ': each step squashes, so its derivative 1 - h_t² multiplies whatever passes back",
        partial(_by_hand, slope=lambda h_t, before: torch.ones_like(h_t)),
    ),
    (
        "your φ' belongs to the wrong step: φ'(z_t) = 1 - h_t², with the state after step t, not before it",
        partial(_by_hand, slope=lambda h_t, before: 1 - before**2),
    ),
    (
        "φ'(z_t) is 1 - h_t², with the square: h_t is tanh(z_t) already",
        partial(_by_hand, slope=lambda h_t, before: 1 - h_t),
    ),
    (
        "you take tanh' of h_t; h_t is squashed already, φ'(z_t) = 1 - tanh(z_t)² = 1 - h_t²",
        partial(_by_hand, slope=lambda h_t, before: 1 - h_t.tanh() ** 2),
    ),
    (
        "you pair d_t with h_t; at step t the weight W_hh has multiplied h_{t-1}",
        partial(_by_hand, state=lambda h_t, before: h_t),
    ),
    (
        "only the last step is in your sum, truncation to K = 1; the same weights act at every step",
        lambda h, W_hh, dL_dhT: _by_hand(h[-2:], W_hh, dL_dhT),
    ),
    (
        "you carry a back with W_hh; backwards it is the transpose, a_{t-1} = W_hhᵀ d_t",
        partial(_by_hand, carry=lambda d, a, W: W @ d),
    ),
    (
        "you carry a_t itself back: what passes through step t is d_t, which has been multiplied by φ'(z_t)",
        partial(_by_hand, carry=lambda d, a, W: W.T @ a),
    ),
    (
        "you do not carry a back: every step of yours uses ∂L/∂h_T. A step earlier it is W_hhᵀ d_t",
        partial(_by_hand, carry=lambda d, a, W: a),
    ),
    (
        "your gradient is transposed: entry (i, j) is d_i of step t times h_j of the step before",
        lambda h, W_hh, dL_dhT: _by_hand(h, W_hh, dL_dhT).T,
    ),
    (
        "you average over steps; the gradient of a shared weight is the sum",
        lambda h, W_hh, dL_dhT: _by_hand(h, W_hh, dL_dhT) / (len(h) - 1),
    ),
)


def bptt(answer, seed: int = 1) -> Verdict:
    """Exercise 3: `answer(h (T + 1, H), W_hh (H, H), dL_dhT (H,)) -> (H, H)`, h_0 in row 0 of h."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {"h": torch.tensor([[0.5], [0.5], [0.25]]), "W_hh": torch.tensor([[0.8]])}
    one_step = {"h": torch.tensor([[0.6, -0.2], [0.3, 0.9]]), "W_hh": torch.tensor([[0.1, 0.7], [-0.4, 0.2]])}
    cases = {
        "one unit, two steps, by hand": by_hand | {"dL_dhT": torch.ones(1)},
        "one step, two units": one_step | {"dL_dhT": torch.tensor([1.0, -2.0])},
        "three units, four steps, at random": _network(generator, steps=4, units=3),
        "six units, twelve steps, at random": _network(generator, steps=12, units=6),
    }
    return examine("bptt", answer, cases, _by_autograd, MISCONCEPTIONS)


def _network(generator: torch.Generator, steps: int, units: int) -> dict[str, Tensor]:
    """Any states will do: for each sequence of them there are inputs that lead to it."""
    return {
        "h": 1.6 * torch.rand(steps + 1, units, generator=generator) - 0.8,
        "W_hh": torch.randn(units, units, generator=generator) / units**0.5,
        "dL_dhT": torch.randn(units, generator=generator),
    }
