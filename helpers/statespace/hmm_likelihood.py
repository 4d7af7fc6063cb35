"""The log-likelihood of a hidden Markov model, with a gradient that needs no graph over time."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from helpers.arguments import refuse_where
from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_observations import log_evidence, valid_steps
from helpers.statespace.hmm_probabilities import log_probability
from helpers.statespace.hmm_recursions import smooth_paths, sum_paths


class _SumOfPaths(Function):
    """log Σ over all paths, differentiated by Fisher's identity."""

    @staticmethod
    def forward(context, log_initial: Tensor, log_transition: Tensor, evidence: Tensor) -> Tensor:
        if not any(context.needs_input_grad):
            return sum_paths(log_initial, log_transition, evidence)
        sums = smooth_paths(log_initial, log_transition, evidence)
        log_likelihood = sums.step_log_likelihood.sum(-1)
        context.save_for_backward(sums.probability, sums.pair_counts, log_likelihood)
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


def hmm_log_likelihood(
    hmm: HMM, y: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Tensor:
    r"""log p(y) of each series, shape (B,), differentiable in all parameters of the model.

    .. math::
        \frac{\partial \log p(y)}{\partial \theta}
        = \mathrm{E}\left[ \frac{\partial \log p(h, y)}{\partial \theta} \,\middle|\, y \right]

    is Fisher's identity. Of :math:`\log p(h, y)` each term is the logarithm of one probability, so that the
    derivative by :math:`\log \pi_k`, :math:`\log A_{ij}` or :math:`\log p(y_t \mid k)` is the expected
    number of times that this probability is used, which the smoother knows. Autograd sees one operation, not
    T of them. There is no second derivative.

    Parameters and errors are those of `hmm_filter`, except that an impossible series has log-likelihood
    -inf here and leaves the others alone; only its gradient is refused. By a probability that is exactly 0,
    the derivative is defined as 0.

    Source: Cappé, Moulines and Rydén (2005), Inference in hidden Markov models, Springer, section 10.1.
    """
    evidence = log_evidence(hmm, y, mask, valid_steps(y, lengths))
    return _SumOfPaths.apply(log_probability(hmm.initial), log_probability(hmm.transition), evidence)
