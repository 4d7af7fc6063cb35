"""The log-likelihood of a hidden Markov model, with a gradient that needs no graph over time."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from helpers.arguments import refuse_where
from helpers.statespace.hmm.filter import forward, smooth_fast
from helpers.statespace.hmm.model import HMM, check_observations
from helpers.statespace.hmm.scaled import safe_interval, scaled_log_likelihood


def hmm_log_likelihood(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Tensor:
    """log p(y) of each series, shape (B,), differentiable in all parameters of the model.

    Its gradient is Fisher's identity::

        ∂ log p(y) / ∂θ = E[ ∂ log p(h, y) / ∂θ | y ]

    Of log p(h, y) each term is the logarithm of one probability, so that the derivative by log π_k, log A_ij
    or log p(y_t | k) is the expected number of times that this is used, which the smoother knows.
    Autograd sees one operation, not T of them. There is no second derivative.

    Parameters and errors are those of `hmm_filter`, except that an impossible series has log-likelihood
    -inf here and leaves the others alone; only its gradient is refused. By a probability that is exactly 0,
    the derivative is defined as 0.

    Source: Cappé, Moulines and Rydén (2005), Inference in hidden Markov models, Springer, section 10.1.
    """
    log_evidence = hmm.log_evidence(check_observations(hmm, y, mask, lengths))  # (B, T, K)
    return _SumOfPaths.apply(hmm.log_initial, hmm.log_transition, log_evidence)


class _SumOfPaths(Function):
    """log Σ over all paths, differentiated by Fisher's identity."""

    @staticmethod
    def forward(context, log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> Tensor:
        if not any(context.needs_input_grad):
            return _sum_of_paths(log_initial, log_transition, log_evidence)
        everywhere = torch.ones_like(log_evidence[..., 0], dtype=torch.bool)
        probability, pair_counts, log_c = smooth_fast(log_initial, log_transition, log_evidence, everywhere)
        log_likelihood = log_c.sum(-1)
        context.save_for_backward(probability, pair_counts, log_likelihood)
        return log_likelihood

    @staticmethod
    @once_differentiable
    def backward(context, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        probability, pair_counts, log_likelihood = context.saved_tensors
        refuse_where(
            (log_likelihood == -torch.inf) & (weight != 0),
            lambda b: (
                f"y is impossible under this HMM: the log-likelihood of series {b} is -inf, without gradient"
            ),
        )
        initial = weight @ probability[:, 0]
        transition = torch.tensordot(weight, pair_counts, dims=1)
        return initial, transition, weight[:, None, None] * probability


def _sum_of_paths(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> Tensor:
    if interval := safe_interval(log_transition):
        return scaled_log_likelihood(log_initial, log_transition, log_evidence, interval)
    return forward(log_initial, log_transition, log_evidence)[1].sum(-1)
