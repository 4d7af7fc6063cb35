"""A gradient on its way back: how much of it reaches each state, and over which paths."""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils import parametrize

from helpers.arguments import check_tensor, check_whole_number, kind
from helpers.recurrent.explosion import euclidean_norm
from helpers.recurrent.recurrence import (
    Recurrence,
    Transition,
    check_recurrence,
    initial_state,
    inputs_of,
    iterate,
    observed_steps,
)
from helpers.series import IrregularBatch


@dataclass(frozen=True, eq=False)
class GradientProfile:
    """The gradient of a loss with respect to every state.

    Attributes
    ----------
    loss : Tensor () or (B,)
        What the loss function returned, without gradient.
    gradients : Tensor (B, T + 1, S)
        ∂L/∂h_k at `[:, k]`, k = 0 … T: the whole derivative, along every path from h_k to the loss.
    highway : Tensor (B, T + 1, S) or None
        The part of it along the paths that never enter a gate, where it was asked for.
    """

    loss: Tensor
    gradients: Tensor
    highway: Tensor | None = None

    @property
    def norms(self) -> Tensor:
        """‖∂L/∂h_k‖ at `[:, k]`, (B, T + 1); right even where its square is no float."""
        return euclidean_norm(self.gradients)

    @property
    def through_gates(self) -> Tensor | None:
        """The part along all other paths, (B, T + 1, S): what a state does by opening and closing gates."""
        return None if self.highway is None else self.gradients - self.highway


@torch.inference_mode(False)
def gradient_profile(
    model: Recurrence,
    x: Tensor | IrregularBatch,
    loss: Callable[[Tensor], Tensor],
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    by_path: bool = False,
) -> GradientProfile:
    """Measure how a loss depends on each state, for every step and series, in one backward pass.

    ::

        a_k = ∂L/∂h_k = (∂h_{k+1}/∂h_k)ᵀ a_{k+1} + (∂L/∂h_k directly),   k = T … 0

    Backpropagation through time computes all of these on its way to the weights; here they are kept, and the
    weights are left out. The model's `.grad` are not touched.

    A gated cell leads a gradient back on two ways: along the highway, on which a state is only multiplied (by
    f_t in an LSTM, 1 - z_t in a GRU, 1 - α in a leaky unit), and through the gates and candidates, which read
    h_{t-1} by their weights. `by_path` tells them apart by a second pass, in which no gate reads a state that
    a gradient flows to.

    Parameters
    ----------
    model : Recurrence
        Anything with `project`, `step` and `state_size`.
    x : Tensor (B, T, D) or IrregularBatch
        What `model.project` takes; a batch brings its own mask and lengths.
    loss : callable
        From states (B, T, S) to a Tensor () or (B,). Let it give one number per series to see each one's own
        gradient; a mean over B divides all by B.
    h0 : Tensor (B, S), optional
    mask, lengths : optional
        As for `VanillaRNN.forward`.
    by_path : bool
        Split the gradient by its paths; the model must then have a highway, that is, its `step` must be
        `update(state, gates(state, p))`.

    Raises
    ------
    ValueError
        If shapes clash, the loss has another shape, it does not depend on the states, or the paths of a model
        without a highway are asked for.
    """
    check_recurrence(model)
    x, active = observed_steps(*inputs_of(model, x, mask, lengths))
    with parametrize.cached(), torch.enable_grad():
        projected = model.project(x)
        first = initial_state(model, projected, h0).detach()
        value, gradients = _backward(model.step, first, projected, active, loss)
        highway = None
        if by_path:
            _, highway = _backward(_highway_of(model), first, projected, active, loss)
    return GradientProfile(value, gradients, highway)


def _backward(
    step: Transition,
    first: Tensor,
    projected: Tensor,
    active: Tensor | None,
    loss: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient by every state (B, T + 1, S)."""
    first = first.clone().requires_grad_()
    states = [first, *iterate(step, first, projected, active)]
    value = loss(torch.stack(states[1:], dim=1) if states[1:] else first.unsqueeze(1)[:, :0])
    _check_loss(value, len(first))
    gradients = torch.autograd.grad(value.sum(), states, allow_unused=True, materialize_grads=True)
    return value.detach(), torch.stack(gradients, dim=1)


def _highway_of(model: Recurrence) -> Transition:
    """The same step, to a gradient closed everywhere but on the highway."""
    if not (hasattr(model, "gates") and hasattr(model, "update")):
        raise ValueError(f"model must have gates and update to be split by path: {kind(model)} has not")
    return lambda state, p: model.update(state, model.gates(state.detach(), p))


def _check_loss(value: Tensor, series: int) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) not in {(), (series,)}:
        found = tuple(value.shape) if isinstance(value, Tensor) else kind(value)
        raise ValueError(f"loss must return a Tensor of shape () or (B,) = ({series},): got {found}")
    if not value.requires_grad:
        raise ValueError("loss must depend on the states: what it returned has no gradient")


@dataclass(frozen=True, eq=False)
class PathDecomposition:
    """The derivative ∂h_T/∂h_0 of a scalar recurrence, sorted by how its paths go.

    Attributes
    ----------
    counts : tuple of T + 1 int
        Number of paths that take the branch n times, n = 0 … T: T over n, exact.
    contributions : Tensor (..., T + 1)
        What those paths add to the derivative together.
    """

    counts: tuple[int, ...]
    contributions: Tensor

    @property
    def total(self) -> Tensor:
        """∂h_T/∂h_0, the sum over all 2^T paths, (...)."""
        return self.contributions.sum(-1)


def path_count(T: int, routes: int = 2) -> int:
    """Return how many paths a gradient has through T steps that each offer `routes` ways.

    Two ways, past the non-linearity or through it, make 2^T paths through a leaky or residual unit; in a
    vanilla network of H units a path chooses among H units at each step, which makes H^T from a unit of h_T
    to all units of h_0.

    Parameters
    ----------
    T : int
        Number of steps.
    routes : int
        Ways per step.

    Raises
    ------
    ValueError
        If either is not a whole number, or T < 0, or routes < 1.
    """
    check_whole_number("T", T, least=0)
    check_whole_number("routes", routes)
    return routes**T


def path_decomposition(skip: Tensor, branch: Tensor) -> PathDecomposition:
    """Sort the 2^T paths of a scalar recurrence's derivative by how often they take the branch.

    ::

        h_t = s_t h_{t-1} + f_t(h_{t-1})
        ∂h_T/∂h_0 = Π_t (s_t + f_t') = Σ_{A ⊆ {1…T}} Π_{t∈A} f_t' Π_{t∉A} s_t

    Each step a path either skips, by the factor s, or takes the branch, by f'. A `LeakyRNN` of one unit has
    s = 1 - α and f' = α w φ'(z_t); a residual network has s = 1; a vanilla one has s = 0, and of its paths
    only one is left. The sums over all A of one size are the coefficients of the polynomial
    Π_t (s_t + f_t' ξ), multiplied out factor by factor: T² operations instead of 2^T.

    Parameters
    ----------
    skip : Tensor () or (..., T)
        s_t.
    branch : Tensor (..., T)
        f_t'(h_{t-1}).

    Raises
    ------
    ValueError
        If `branch` has no time axis, or the shapes do not broadcast to that of `branch`.

    Source: Veit, Wilber and Belongie (2016), Residual networks behave like ensembles of relatively shallow
    networks, NeurIPS.
    """
    skip = _expand(skip, branch)
    coefficients = torch.ones_like(branch[..., :0].sum(-1)).unsqueeze(-1)  # the empty product: (..., 1)
    for skip_t, branch_t in zip(skip.unbind(-1), branch.unbind(-1), strict=True):
        by_skip, by_branch = (coefficients * factor.unsqueeze(-1) for factor in (skip_t, branch_t))
        coefficients = pad(by_skip, (0, 1)) + pad(by_branch, (1, 0))
    steps = branch.shape[-1]
    return PathDecomposition(tuple(comb(steps, n) for n in range(steps + 1)), coefficients)


def _expand(skip: Tensor, branch: Tensor) -> Tensor:
    """Repeat `skip` for every entry of `branch`."""
    check_tensor("skip", skip)
    check_tensor("branch", branch)
    if branch.ndim == 0:
        raise ValueError("branch must have shape (..., T): got a scalar")
    try:
        return skip.expand_as(branch)
    except RuntimeError:
        shapes = f"{tuple(skip.shape)} and {tuple(branch.shape)}"
        raise ValueError(f"skip must broadcast to the shape of branch: got {shapes}") from None
