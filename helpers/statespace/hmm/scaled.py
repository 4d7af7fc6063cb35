"""The recursions of `filter` on probabilities, normalised every few steps: two operations a step, not six.

With the evidence divided by its largest of each step, e_t(k) = p(y_t | k) / max_k p(y_t | k), and the prior
counted in e_0::

    a_0 = e_0,   a_t = e_t ⊙ Aᵀ a_{t-1},   w_{T-1} = e_{T-1},   w_t = e_t ⊙ A w_{t+1}

so that the backward recursion is the forward recursion of the reversed series with A transposed. Both run
side by side in one loop. Inside, time comes first.
"""

import math

import torch
from torch import Tensor

LONGEST_INTERVAL = 8
"""Steps between normalisations; rarer ones save nothing."""


def safe_interval(log_transition: Tensor) -> int:
    """How many steps may pass between normalisations; 0 where only log space is safe.

    In every step some state has evidence 1, and it is entered with probability δ = min A or more. In n steps
    a message's mass therefore falls by at most δⁿ, and the overlap of a forward and a backward message by
    δ²ⁿ⁺¹. What underflows is lost to round-off as long as that stays above (smallest normal number) /
    (machine precision), however peaked the emissions are.
    """
    limits = torch.finfo(log_transition.dtype)
    log_smallest = min(log_transition.min().item(), -math.log(2))
    affordable = math.log(limits.tiny / limits.eps) / log_smallest
    return min(LONGEST_INTERVAL, int((affordable - 1) / 2))


def scaled_forward(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, interval: int
) -> tuple[Tensor, Tensor]:
    """Filtered probabilities (B, T, K) and the log-likelihood (B, T) of each step."""
    messages, largest = _relative_evidence(log_initial, log_evidence)
    scale = propagate(messages.unsqueeze(1), log_transition.exp().unsqueeze(0), interval).squeeze(1)
    mass = messages.sum(-1, keepdim=True)  # (T, B, 1)
    return (messages / mass).transpose(0, 1), (_step_log_likelihood(mass, scale) + largest).T


def scaled_smooth(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, valid: Tensor, interval: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What `filter.smooth` returns.

    ::

        b_t = A w_{t+1},   γ_t = a_t ⊙ b_t / z_t,   z_t = a_t · b_t,   N = A ⊙ Σ_t (a_{t-1} / z_{t-1}) w_tᵀ
    """
    evidence, largest = _relative_evidence(log_initial, log_evidence)
    transition = log_transition.exp()
    messages = torch.stack([evidence, evidence.flip(0)], 1)  # (T, 2, B, K)
    scale = propagate(messages, _both_ways(transition), interval)
    a, w = messages[:, 0], messages[:, 1].flip(0)
    steps = _step_log_likelihood(a.sum(-1, keepdim=True), scale[:, 0]) + largest
    b = evidence  # of which the memory is free
    torch.matmul(w[1:], transition.T, out=b[:-1])
    b[-1] = 1.0
    joint = b.mul_(a)
    z = joint.sum(-1, keepdim=True)
    leaving = a[:-1].div_(z[:-1]).mul_(valid.T[1:].unsqueeze(-1))
    counts = transition * torch.einsum("tbi,tbj->bij", leaving, w[1:])
    return joint.div_(z).transpose(0, 1), counts, steps.T


def scaled_log_likelihood(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, interval: int
) -> Tensor:
    """Log of the sum over all paths, shape (B,): both recursions at once, which meet in the middle."""
    evidence, largest = _relative_evidence(log_initial, log_evidence)
    transition = log_transition.exp()
    if len(evidence) == 1:
        return evidence[0].sum(-1).log() + largest[0]
    if len(evidence) % 2:
        evidence[1].mul_(evidence[0] @ transition)
        evidence = evidence[1:]
    middle = len(evidence) // 2
    messages = torch.stack([evidence[:middle], evidence[middle:].flip(0)], 1)  # (T / 2, 2, B, K)
    scale = propagate(messages, _both_ways(transition), interval)
    a, w = messages[-1]
    overlap = (a @ transition * w).sum(-1)
    return overlap.log() + scale.log().sum((0, 1, 3)) + largest.sum(0)


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


def _relative_evidence(log_initial: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """The evidence e (T, B, K), and the logarithm (T, B) of what it was divided by.

    A step that is impossible in every state has -inf there and then counts as missing, so that the recursions
    stay finite.
    """
    first = log_evidence[:, 0] + log_initial  # (B, K)
    largest = log_evidence.amax(-1).T.contiguous().unsqueeze(-1)  # (T, B, 1)
    largest[0] = first.amax(-1, keepdim=True)
    relative = log_evidence.new_empty(*largest.shape[:2], len(log_initial))
    torch.sub(log_evidence.transpose(0, 1), largest, out=relative)
    torch.sub(first, largest[0], out=relative[0])
    impossible = largest == -torch.inf
    if impossible.any():
        relative.masked_fill_(impossible, 0.0)
    return relative.exp_(), largest.squeeze(-1)


def _both_ways(transition: Tensor) -> Tensor:
    return torch.stack([transition, transition.T])


def _step_log_likelihood(mass: Tensor, scale: Tensor) -> Tensor:
    """Log of each step's factor: the mass before normalisation over the mass that came in."""
    incoming = torch.cat([torch.ones_like(mass[:1]), mass[:-1]])
    return (mass * scale / incoming).log().squeeze(-1)
