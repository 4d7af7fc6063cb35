"""Many networks of one kind, trained side by side in one tensor, each on examples of its own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class ManyNetworks:
    """N networks with the same equations, each with its own weights, examples and step size.

    Weights have a leading axis for the networks, so that one operation serves them all; no network knows of
    another, and each is trained exactly as it would be alone: by Adam, its gradient shortened to the norm
    `clip` where it is longer.

    Parameters
    ----------
    networks : sequence of nn.Module
        N of them, alike but for the numbers in their weights, which are copied.
    step_sizes : sequence of float
        One for each.
    clip : float
        The longest gradient that is used as it is.
    one_by_one : bool
        Run them one after another: where PyTorch's fused kernel makes up for it.
    """

    def __init__(
        self, networks: Sequence[nn.Module], step_sizes: Sequence[float], clip: float, *, one_by_one: bool
    ) -> None:
        self.network, self.clip, self.one_by_one = networks[0], clip, one_by_one
        weights = stack_module_state(list(networks))[0]  # {name: (N, ...)}
        self.weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        self.mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.square = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        like = next(iter(weights.values()))
        self.step_sizes, self.updates = torch.tensor(step_sizes, dtype=like.dtype), 0

    def __len__(self) -> int:
        return len(self.step_sizes)

    def outputs(self, x: Tensor) -> Tensor:
        """Answers (N, B, ...) of every network to its own examples (N, B, T, D)."""
        if not self.one_by_one:
            return vmap(self._call)(self.weights, x)
        each = [{name: weight[n] for name, weight in self.weights.items()} for n in range(len(self))]
        return torch.stack([self._call(weights, x_n) for weights, x_n in zip(each, x, strict=True)])

    def update(self, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        """One step of Adam for every network; `loss(outputs, y)` is one number for each (N,)."""
        losses = loss(self.outputs(x), y)
        found = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        gradients = self._clipped(dict(zip(self.weights, found, strict=True)))
        self.updates += 1
        with torch.no_grad():
            for name, gradient in gradients.items():
                self._adam(name, gradient)

    def keep(self, which: Tensor) -> None:
        """Go on with these networks only: a mask (N,)."""
        self.weights = {
            name: weight.detach()[which].requires_grad_() for name, weight in self.weights.items()
        }
        self.mean = {name: mean[which] for name, mean in self.mean.items()}
        self.square = {name: square[which] for name, square in self.square.items()}
        self.step_sizes = self.step_sizes[which]

    def _call(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self.network, weights, (x,))

    def _clipped(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """As `torch.nn.utils.clip_grad_norm_` for each network."""
        norms = torch.cat([gradient.flatten(1) for gradient in gradients.values()], dim=1).norm(dim=1)
        factor = (self.clip / (norms + 1e-6)).clamp(max=1)
        return {name: _over_networks(factor, gradient) * gradient for name, gradient in gradients.items()}

    def _adam(self, name: str, gradient: Tensor) -> None:
        mean = self.mean[name].lerp_(gradient, 1 - BETA_1)
        square = self.square[name].lerp_(gradient**2, 1 - BETA_2)
        spread = (square / (1 - BETA_2**self.updates)).sqrt() + EPSILON
        step = self.step_sizes / (1 - BETA_1**self.updates)
        self.weights[name].sub_(_over_networks(step, gradient) * mean / spread)


def _over_networks(numbers: Tensor, like: Tensor) -> Tensor:
    """(N,) as (N, 1, ...), to go with (N, ...)."""
    return numbers.reshape(-1, *(1 for _ in like.shape[1:]))
