r"""The forward and backward recursions on probabilities, normalised every few steps.

With the evidence :math:`e_t(k) = p(y_t \mid k) / \max_k p(y_t \mid k)`, the prior counted in :math:`e_0`,

.. math::
    a_0 = e_0, \quad a_t = e_t \odot A^\top a_{t-1}, \qquad w_{T-1} = e_{T-1}, \quad w_t = e_t \odot A w_{t+1}

so that the backward recursion is the forward recursion of the reversed series with A transposed. Both run
side by side in one loop of two tensor operations per step.
"""

import math

import torch
from torch import Tensor

LONGEST_INTERVAL = 8
"""Beyond this, rarer normalisation saves less than the loop's noise."""


def safe_interval(transition: Tensor) -> int:
    r"""How many steps may pass between normalisations; 0 where only log space is safe.

    In every step some state has evidence 1, and it is entered with probability :math:`\delta = \min A` or
    more. In n steps a message's mass therefore falls by at most :math:`\delta^n`, and the overlap of a
    forward and a backward message by :math:`\delta^{2n+1}`. What underflows is lost to round-off as long as
    that stays above (smallest normal number) / (machine precision), however peaked the emissions are.
    """
    limits = torch.finfo(transition.dtype)
    smallest = min(transition.min().item(), 0.5)
    if smallest == 0.0:
        return 0
    affordable = math.log(limits.tiny / limits.eps) / math.log(smallest)
    return min(LONGEST_INTERVAL, int((affordable - 1) / 2))


def propagate(evidence: Tensor, transition: Tensor, interval: int) -> Tensor:
    """Overwrite the evidence (T, S, B, K) of S independent chains with their messages.

    Returns what each message was divided by, shape (T, S, B, 1).
    """
    scale = torch.ones_like(evidence[..., :1])
    predicted = torch.empty_like(evidence[0])
    message, *following = evidence.unbind(0)
    for step, observed in enumerate(following, start=1):
        torch.bmm(message, transition, out=predicted)
        message = observed.mul_(predicted)
        if step % interval == 0:
            message.div_(torch.sum(message, -1, keepdim=True, out=scale[step]))
    return scale


def filtered(evidence: Tensor, transition: Tensor, interval: int) -> tuple[Tensor, Tensor]:
    """Filtered probabilities (T, B, K) and each step's log-likelihood (T, B); overwrites the evidence."""
    scale = propagate(evidence.unsqueeze(1), transition.unsqueeze(0), interval).squeeze(1)
    mass = evidence.sum(-1, keepdim=True)  # (T, B, 1)
    return evidence / mass, _step_log_likelihood(mass, scale)


def smoothed(
    evidence: Tensor, transition: Tensor, interval: int, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Smoothed probabilities (T, B, K), pair counts (B, K, K) and the steps' log-likelihood (T, B).

    .. math::
        b_t = A w_{t+1}, \qquad \gamma_t = a_t \odot b_t / z_t, \qquad z_t = a_t \cdot b_t, \qquad
        N = A \odot \sum_t (a_{t-1} / z_{t-1}) w_t^\top
    """
    messages = torch.stack([evidence, evidence.flip(0)], 1)  # (T, 2, B, K)
    scale = propagate(messages, _both_ways(transition), interval)
    forward, backward = messages[:, 0], messages[:, 1].flip(0)
    following = torch.cat([backward[1:] @ transition.T, torch.ones_like(backward[:1])])  # b
    joint = forward * following
    overlap = joint.sum(-1, keepdim=True)  # z
    leaving = forward[:-1] / overlap[:-1] * valid[1:].unsqueeze(-1)
    counts = transition * torch.einsum("tbi,tbj->bij", leaving, backward[1:])
    steps = _step_log_likelihood(forward.sum(-1, keepdim=True), scale[:, 0])
    return joint.div_(overlap), counts, steps


def log_likelihood(evidence: Tensor, transition: Tensor, interval: int) -> Tensor:
    """Log of the sum over all paths, shape (B,): both recursions at once, which meet in the middle."""
    if len(evidence) == 1:
        return evidence[0].sum(-1).log()
    if len(evidence) % 2:
        evidence[1].mul_(evidence[0] @ transition)
        evidence = evidence[1:]
    middle = len(evidence) // 2
    messages = torch.stack([evidence[:middle], evidence[middle:].flip(0)], 1)
    scale = propagate(messages, _both_ways(transition), interval)
    forward, backward = messages[-1]
    overlap = (forward @ transition * backward).sum(-1)
    return overlap.log() + scale.log().sum((0, 1, 3))


def _both_ways(transition: Tensor) -> Tensor:
    return torch.stack([transition, transition.T])


def _step_log_likelihood(mass: Tensor, scale: Tensor) -> Tensor:
    """Log of each step's factor: the mass before normalisation over the mass that came in."""
    incoming = torch.cat([torch.ones_like(mass[:1]), mass[:-1]])
    return (mass * scale / incoming).log().squeeze(-1)
