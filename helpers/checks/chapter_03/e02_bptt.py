"""Exercise 2: backpropagation through time, with a loss at every step of a tanh network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _by_autograd(h: Tensor, W_hh: Tensor, at_once: Tensor) -> tuple[Tensor, Tensor]:
    """∂L/∂W_hh and ∂L/∂h_0 by PyTorch, from a network that is rebuilt to have these states."""
    h, W, at_once = h.double(), W_hh.double().clone().requires_grad_(), at_once.double()
    read = torch.atanh(h[1:]) - h[:-1] @ W.detach().T  # W_xh x_t + b, (T, H)
    with torch.enable_grad():
        h_0 = h[0].clone().requires_grad_()
        states = [h_0]
        for read_t in read:
            states.append(torch.tanh(read_t + W @ states[-1]))
        return torch.autograd.grad((torch.stack(states) * at_once).sum(), (W, h_0))


def _by_hand(
    h: Tensor,
    W_hh: Tensor,
    at_once: Tensor,
    *,
    slope: Callable = lambda h_t, before: 1 - h_t**2,
    state: Callable = lambda h_t, before: before,
    carry: Callable = lambda d, a, W: W.T @ d,
    meet: Callable = lambda at_once_t, carried: at_once_t + carried,
) -> tuple[Tensor, Tensor]:
    """Σ_t d_t h_{t-1}ᵀ and a_0, with d_t = φ'(z_t) ⊙ a_t and a_t = ∂L_t/∂h_t + Wᵀ d_{t+1}."""
    a, dW_hh = at_once[-1], torch.zeros_like(W_hh)
    for h_t, before, at_once_before in zip(h[1:].flip(0), h[:-1].flip(0), at_once[:-1].flip(0), strict=True):
        d = slope(h_t, before) * a
        dW_hh = dW_hh + torch.outer(d, state(h_t, before))
        a = meet(at_once_before, carry(d, a, W_hh))
    return dW_hh, a


def _without_first_loss(h: Tensor, W_hh: Tensor, at_once: Tensor) -> Tensor:
    return _by_hand(h, W_hh, at_once)[1] - at_once[0]


OF_BOTH = (
    (
        "only the loss of the last step is in your gradient: at every step add what its own loss says at "
        "once, ∂L_t/∂h_t, to what comes back",
        partial(_by_hand, meet=lambda at_once_t, carried: carried),
    ),
    (
        "nothing is carried back: each step of yours hears its own loss only. A step earlier add W_hhᵀ d_t, "
        "what all later losses say",
        partial(_by_hand, meet=lambda at_once_t, carried: at_once_t),
    ),
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
        "you carry a back with W_hh; backwards it is the transpose, W_hhᵀ d_t",
        partial(_by_hand, carry=lambda d, a, W: W @ d),
    ),
    (
        "you carry a_t itself back: what passes through step t is d_t, which has been multiplied by φ'(z_t)",
        partial(_by_hand, carry=lambda d, a, W: W.T @ a),
    ),
    (
        "you carry d_t back as it is: between d_t and h_{t-1} stands the weight, W_hhᵀ d_t",
        partial(_by_hand, carry=lambda d, a, W: d),
    ),
)
OF_WEIGHTS = (
    *OF_BOTH,
    (
        "you pair d_t with h_t; at step t the weight W_hh has multiplied h_{t-1}",
        partial(_by_hand, state=lambda h_t, before: h_t),
    ),
    (
        "only the last step is in your sum, truncation to K = 1; the same weights act at every step",
        lambda h, W_hh, at_once: _by_hand(h[-2:], W_hh, at_once[-2:]),
    ),
    (
        "your gradient is transposed: entry (i, j) is d_i of step t times h_j of the step before",
        lambda h, W_hh, at_once: _by_hand(h, W_hh, at_once)[0].T,
    ),
    (
        "you average over steps; the gradient of a shared weight is the sum",
        lambda h, W_hh, at_once: _by_hand(h, W_hh, at_once)[0] / (len(h) - 1),
    ),
)
OF_FIRST_STATE = (
    (
        "what the loss says to h_0 itself at once, at_once[0], is missing",
        _without_first_loss,
    ),
    (
        "that is a_1, what the losses say to h_1; one step more leads to h_0",
        lambda h, W_hh, at_once: _by_hand(h[1:], W_hh, at_once[1:])[1],
    ),
    *OF_BOTH,
)


def bptt(answer, seed: int = 1) -> Verdict:
    """Exercise 2: `answer(h (T + 1, H), W_hh (H, H), at_once (T + 1, H)) -> dW_hh (H, H), dh_0 (H,)`."""
    generator = torch.Generator().manual_seed(seed)
    by_hand = {"h": torch.tensor([[0.5], [0.5], [0.25]]), "W_hh": torch.tensor([[0.8]])}
    one_step = {"h": torch.tensor([[0.6, -0.2], [0.3, 0.9]]), "W_hh": torch.tensor([[0.1, 0.7], [-0.4, 0.2]])}
    cases = {
        "one unit, two steps, by hand": by_hand | {"at_once": torch.tensor([[2.0], [1.0], [1.0]])},
        "one step, two units": one_step | {"at_once": torch.tensor([[0.5, 0.3], [1.0, -2.0]])},
        "three units, four steps, at random": _network(generator, steps=4, units=3),
        "six units, twelve steps, at random": _network(generator, steps=12, units=6),
    }
    return examine("bptt", answer, cases, _by_autograd, {"dW_hh": OF_WEIGHTS, "dh_0": OF_FIRST_STATE})


def _network(generator: torch.Generator, steps: int, units: int) -> dict[str, Tensor]:
    """Any states will do: for each sequence of them there are inputs that lead to it."""
    return {
        "h": 1.6 * torch.rand(steps + 1, units, generator=generator) - 0.8,
        "W_hh": torch.randn(units, units, generator=generator) / units**0.5,
        "at_once": torch.randn(steps + 1, units, generator=generator),
    }
