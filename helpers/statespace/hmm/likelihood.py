"""The log-likelihood of a hidden Markov model, with a gradient that needs no graph over time."""

from collections.abc import Iterator
from dataclasses import replace

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
    Autograd sees one operation, not T of them, and goes through the emission a block of steps at a time.
    Where a derivative is itself to be differentiated (`create_graph=True`, a Hessian), in forward mode, and
    under the transforms of `torch.func`, the forward recursion is differentiated instead, a step at a time.
    Of those, `vmap` is refused: B is the axis for many series, and models take turns.

    Parameters and errors are those of `hmm_filter`, except that an impossible series has log-likelihood
    -inf here and leaves the others alone; only its gradient is refused. By a probability that is exactly 0,
    the derivative is defined as 0.

    Source: Cappé, Moulines and Rydén (2005), Inference in hidden Markov models, Springer, section 10.1.
    """
    data = check_observations(hmm, y, mask, lengths)
    tensors = data.y, *hmm.parameters.values()
    return step_by_step(hmm, data) if _is_transformed(tensors) else _SumOfPaths.apply(hmm, data, *tensors)


class _SumOfPaths(Function):
    """log Σ over all paths, differentiated by Fisher's identity in y and the model's parameters."""

    @staticmethod
    def forward(context, hmm: HMM, data: Observations, *tensors: Tensor) -> Tensor:
        if not any(context.needs_input_grad):
            return _sum_of_paths(hmm, data)
        smoothed = smooth_fast(hmm, data, torch.ones_like(data.valid))
        log_likelihood = smoothed[-1].sum(-1)
        context.hmm, context.data = hmm, data
        context.save_for_backward(log_likelihood, *smoothed[:-1], *tensors)
        return log_likelihood

    @staticmethod
    def backward(context, weight: Tensor) -> tuple[Tensor | None, ...]:
        log_likelihood, probability, pair_counts, *tensors = context.saved_tensors
        if (log_likelihood == -torch.inf).any():
            _refuse_without_gradient(log_likelihood, weight)
        wanted = context.needs_input_grad[2:]
        if torch.is_grad_enabled():
            hmm, data = _made_of(tensors, context.hmm, context.data)
            chosen = [tensor for tensor, needed in zip(tensors, wanted, strict=True) if needed]
            slopes = iter(torch.autograd.grad(step_by_step(hmm, data), chosen, weight, create_graph=True))
        else:
            leaves = [t.detach().requires_grad_(needed) for t, needed in zip(tensors, wanted, strict=True)]
            chosen = [leaf for leaf in leaves if leaf.requires_grad]
            hmm, data = _made_of(leaves, context.hmm, context.data)
            slopes = iter(_expected_slopes(chosen, _terms(hmm, data, probability, pair_counts, weight)))
        return None, None, *(next(slopes) if needed else None for needed in wanted)


def _refuse_without_gradient(log_likelihood: Tensor, weight: Tensor) -> None:
    refuse_where(
        (log_likelihood == -torch.inf) & (weight != 0),
        lambda b: (
            f"y is impossible under this HMM: the log-likelihood of series {b} is -inf, without gradient"
        ),
    )


def _made_of(tensors: list[Tensor], hmm: HMM, data: Observations) -> tuple[HMM, Observations]:
    """The same model and data of other tensors: y, and the parameters in their order."""
    parameters = dict(zip(hmm.parameters, tensors[1:], strict=True))
    return hmm.with_parameters(parameters), replace(data, y=tensors[0])


def _terms(
    hmm: HMM, data: Observations, probability: Tensor, pair_counts: Tensor, weight: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """The terms of log p(h, y), and how often each is expected to be used."""
    yield hmm.log_initial, weight @ probability[:, 0]
    yield hmm.log_transition, torch.tensordot(weight, pair_counts, dims=1)
    for some in data.blocks():
        log_evidence = hmm.emission.log_prob(data.y[:, some], data.mask[:, some])
        yield log_evidence, weight[:, None, None] * probability[:, some]


@torch.enable_grad()
def _expected_slopes(leaves: list[Tensor], terms: Iterator[tuple[Tensor, Tensor]]) -> list[Tensor | float]:
    """E[∂ log p(h, y) / ∂θ | y] by each of the leaves."""
    total = [0.0] * len(leaves)
    for term, times in terms:
        if term.requires_grad:
            slopes = torch.autograd.grad(term, leaves, times, materialize_grads=True)
            total = [a + b for a, b in zip(total, slopes, strict=True)]
    return total


def step_by_step(hmm: HMM, data: Observations) -> Tensor:
    """The sum of paths (B,) as ordinary operations, which can be differentiated again and again.

    In place of -inf stands what no sum can tell from it, and what has a derivative, 0.
    """
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence(data)
    lowest = -(torch.finfo(hmm.initial.dtype).max ** 0.5)
    log_likelihood = forward(*(log.clamp(min=lowest) for log in logs))[1].sum(-1)
    return torch.where(log_likelihood > lowest / 2, log_likelihood, -torch.inf)


def _is_transformed(tensors: tuple[Tensor, ...]) -> bool:
    """Whether more is asked for than a first derivative, backwards, which is all that a Function has."""
    dual = any(unpack_dual(tensor).tangent is not None for tensor in tensors)
    return dual or torch._C._are_functorch_transforms_active()  # torch has no public name for it


def _sum_of_paths(hmm: HMM, data: Observations) -> Tensor:
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence_in_blocks(data)
    if interval := safe_interval(hmm.log_transition):
        return scaled_log_likelihood(*logs, interval)
    return forward(*logs)[1].sum(-1)
