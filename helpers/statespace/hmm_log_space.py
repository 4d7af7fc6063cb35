r"""The forward and backward recursions on log probabilities: slower than `hmm_scaled`, and safe for zeros.

.. math::
    \log a_t(j) = \log e_t(j) + \log \sum_i \exp(\log a_{t-1}(i) + \log A_{ij}) - \log c_t

With a forbidden transition, a state of probability 1e-1000 may be the only one that survives the next step;
only its logarithm can be stored. Messages are normalised at every step, which keeps the digits of
long series in float32.
"""

import torch
from torch import Tensor


def propagate(log_evidence: Tensor, log_transition: Tensor) -> tuple[Tensor, Tensor]:
    """Messages (T, B, K), each normalised, and the logarithm (T, B) of what normalised them.

    A step that no state can reach has -inf there, and a uniform message goes on in its place.
    """
    messages, log_scales = torch.empty_like(log_evidence), torch.empty_like(log_evidence[..., 0])
    predicted = torch.zeros_like(log_evidence[0])
    for step, observed in enumerate(log_evidence):
        joint = observed + predicted
        log_scale = joint.logsumexp(-1, keepdim=True)
        message = torch.where(log_scale == -torch.inf, 0.0, joint - log_scale)
        predicted = torch.logsumexp(message.unsqueeze(-1) + log_transition, -2)
        messages[step], log_scales[step] = message, log_scale.squeeze(-1)
    return messages, log_scales


def filtered(log_evidence: Tensor, log_transition: Tensor) -> tuple[Tensor, Tensor]:
    """Filtered probabilities (T, B, K) and the log-likelihood (T, B) of each step."""
    messages, steps = propagate(log_evidence, log_transition)
    return messages.exp(), steps


def smoothed(log_evidence: Tensor, log_transition: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Smoothed probabilities (T, B, K), pair counts (B, K, K) and the steps' log-likelihood (T, B).

    .. math::
        P(h_{t-1} = i, h_t = j \mid y) \propto a_{t-1}(i) A_{ij} w_t(j), \qquad
        N_{ij} = \sum_t P(h_{t-1} = i, h_t = j \mid y)
    """
    forward, steps = propagate(log_evidence, log_transition)
    backward = propagate(log_evidence.flip(0), log_transition.T)[0].flip(0)
    probability = forward.exp()  # its last step is the smoothed one already
    counts = torch.zeros_like(log_transition).expand(forward.shape[1], -1, -1).clone()
    for step in range(1, len(forward)):
        log_pair = forward[step - 1].unsqueeze(-1) + log_transition + backward[step].unsqueeze(-2)
        pair = log_pair.flatten(-2).softmax(-1).unflatten(-1, log_transition.shape)  # (B, K, K)
        probability[step - 1] = pair.sum(-1)
        counts += pair * valid[step, :, None, None]
    return probability, counts, steps
