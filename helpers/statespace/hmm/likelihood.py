"""The log-likelihood of a hidden Markov model, with a gradient that needs no graph over time."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.forward_ad import unpack_dual

from helpers.arguments import refuse_where
from helpers.series import IrregularBatch
from helpers.statespace.hmm.filter import forward, smooth_fast
from helpers.statespace.hmm.model import HMM, Observations, check_observations
from helpers.statespace.hmm.scaled import safe_interval, scaled_log_likelihood


def hmm_log_likelihood(
    hmm: HMM, y: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
) -> Tensor:
    """log p(y) of each series, shape (B,), differentiable in all parameters of the model.

    Its gradient is Fisher's identity::

        ∂ log p(y) / ∂θ = E[ ∂ log p(h, y) / ∂θ | y ]

    Of log p(h, y) each term is the logarithm of one probability, so that the derivative by log π_k, log A_ij
    or log p(y_t | k) is the expected number of times that this is used, which the smoother knows.
    Autograd sees one operation, not T of them. Where a derivative is itself to be differentiated
    (`create_graph=True`, a Hessian), in forward mode, and under the transforms of `torch.func`, the forward
    recursion is differentiated instead, a step at a time. Of those, `vmap` is refused: B is the axis for many
    series, and models take turns.

    Parameters and errors are those of `hmm_filter`, except that an impossible series has log-likelihood
    -inf here and leaves the others alone; only its gradient is refused. By a probability that is exactly 0,
    the derivative is defined as 0.

    Source: Cappé, Moulines and Rydén (2005), Inference in hidden Markov models, Springer, section 10.1.
    """
    data = check_observations(hmm, y, mask, lengths)
    tensors = data.y, *hmm.parameters.values()
    transformed = _is_transformed(tensors)
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if not (wanted or transformed):
        return _sum_of_paths(hmm, data)
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence(data)
    return step_by_step(*logs) if transformed else _SumOfPaths.apply(*logs)


class _SumOfPaths(Function):
    """log Σ over all paths, differentiated by Fisher's identity."""

    @staticmethod
    def forward(context, *logs: Tensor) -> Tensor:
        everywhere = torch.ones_like(logs[-1][..., 0], dtype=torch.bool)
        probability, pair_counts, log_c = smooth_fast(*logs, everywhere)
        log_likelihood = log_c.sum(-1)
        context.save_for_backward(*logs, probability, pair_counts, log_likelihood)
        return log_likelihood

    @staticmethod
    def backward(context, weight: Tensor) -> tuple[Tensor | None, ...]:
        *logs, probability, pair_counts, log_likelihood = context.saved_tensors
        if (log_likelihood == -torch.inf).any():
            _refuse_impossible(log_likelihood, weight)
        if torch.is_grad_enabled():
            wanted = [log for log, needed in zip(logs, context.needs_input_grad, strict=True) if needed]
            slopes = iter(torch.autograd.grad(step_by_step(*logs), wanted, weight, create_graph=True))
            return tuple(next(slopes) if needed else None for needed in context.needs_input_grad)
        initial = weight @ probability[:, 0]
        transition = torch.tensordot(weight, pair_counts, dims=1)
        return initial, transition, weight[:, None, None] * probability


def _refuse_impossible(log_likelihood: Tensor, weight: Tensor) -> None:
    refuse_where(
        (log_likelihood == -torch.inf) & (weight != 0),
        lambda b: (
            f"y is impossible under this HMM: the log-likelihood of series {b} is -inf, without gradient"
        ),
    )


def step_by_step(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> Tensor:
    """The sum of paths (B,) as ordinary operations, which can be differentiated again and again.

    In place of -inf stands what no sum can tell from it, and what has a derivative, 0.
    """
    lowest = -(torch.finfo(log_evidence.dtype).max ** 0.5)
    logs = (log.clamp(min=lowest) for log in (log_initial, log_transition, log_evidence))
    log_likelihood = forward(*logs)[1].sum(-1)
    return torch.where(log_likelihood > lowest / 2, log_likelihood, -torch.inf)


def _is_transformed(tensors: tuple[Tensor, ...]) -> bool:
    """Whether more is asked for than a first derivative, backwards, which is all that a Function has."""
    dual = any(unpack_dual(tensor).tangent is not None for tensor in tensors)
    return dual or torch._C._are_functorch_transforms_active()  # torch has no public name for it


@torch.no_grad()
def _sum_of_paths(hmm: HMM, data: Observations) -> Tensor:
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence_in_blocks(data)
    if interval := safe_interval(hmm.log_transition):
        return scaled_log_likelihood(*logs, interval)
    return forward(*logs)[1].sum(-1)
