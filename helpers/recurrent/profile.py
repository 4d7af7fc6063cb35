"""How much of a loss' gradient reaches each earlier state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from helpers.recurrent.arguments import observed_steps
from helpers.recurrent.recurrence import Recurrence, initial_state, iterate


@dataclass(frozen=True, eq=False)
class GradientProfile:
    """The gradient of a loss with respect to every state.

    Parameters
    ----------
    loss : Tensor
        What the loss function returned, without gradient.
    gradients : Tensor (B, T + 1, S)
        ∂L/∂h_k at `[:, k]`, k = 0 … T: the whole derivative, along every path from h_k to the loss.
    """

    loss: Tensor
    gradients: Tensor

    @property
    def norms(self) -> Tensor:
        """‖∂L/∂h_k‖ at `[:, k]`, shape (B, T + 1); right even where its square is no float."""
        largest = self.gradients.abs().amax(-1, keepdim=True)
        scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
        return torch.linalg.vector_norm(self.gradients / scale, dim=-1) * scale.squeeze(-1)


def gradient_profile(
    model: Recurrence,
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    h0: Tensor | None = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
) -> GradientProfile:
    """Measure how a loss depends on each state, for every step and series, in one backward pass.

    ::

        a_k = ∂L/∂h_k = (∂h_{k+1}/∂h_k)ᵀ a_{k+1} + (∂L/∂h_k directly),   k = T … 0

    Backpropagation through time computes all of these on its way to the weights; here they are kept, and the
    weights are left out. The model's `.grad` are not touched.

    Parameters
    ----------
    model : Recurrence
        Anything with `project`, `step` and `state_size`.
    x : Tensor (B, T, D)
        What `model.project` takes.
    loss : function (states (B, T, S)) -> Tensor () or (B,)
        Let it give one number per series to see each one's own gradient; a mean over B divides all by B.
    h0 : Tensor (B, S), optional
    mask, lengths : optional
        As for `VanillaRNN.forward`.

    Raises
    ------
    ValueError
        If shapes clash, the loss has another shape, or it does not depend on the states.
    """
    x, active = observed_steps(x, mask, lengths)
    with parametrize.cached(), torch.enable_grad():
        projected = model.project(x)
        first = initial_state(model, projected, h0).detach().requires_grad_()
        states = [first, *iterate(model.step, first, projected, active)]
        value = loss(torch.stack(states[1:], dim=1) if states[1:] else first.unsqueeze(1)[:, :0])
        _check_loss(value, len(first))
        gradients = torch.autograd.grad(value.sum(), states, allow_unused=True, materialize_grads=True)
    return GradientProfile(value.detach(), torch.stack(gradients, dim=1))


def _check_loss(value: Tensor, series: int) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) not in {(), (series,)}:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must return a Tensor of shape () or (B,) = ({series},): got {found}")
    if not value.requires_grad:
        raise ValueError("loss must depend on the states: what it returned has no gradient")
