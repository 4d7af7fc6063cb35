"""Fields with parameters, and their gradients in every way, that tests of gradients share."""

import torch
from ode_problems import double

from helpers.odes import solve

WAYS_BACK = ("replay", "adjoint", "backsolve")


class Pulsed(torch.nn.Module):
    """A small tanh network times a clock: neither linear nor autonomous."""

    def __init__(self, dtype=torch.float64, unused=False):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.inner = torch.nn.utils.skip_init(torch.nn.Linear, 2, 8, dtype=dtype)
        self.outer = torch.nn.utils.skip_init(torch.nn.Linear, 8, 2, dtype=dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 0.5, generator=generator)
        if unused:
            self.idle = torch.nn.Parameter(torch.ones(2, dtype=dtype))

    def forward(self, t, y):
        return self.outer(torch.tanh(self.inner(y))) * (1 + torch.cos(t)).reshape(-1, 1)


def starts(samples=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(samples, 2, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()


def weighted(y):
    """A loss that weighs every entry of the answers differently."""
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    return (weights * y + 0.3 * y.square()).sum()


def gradients_of(inputs, gradient, field, y0, t, **how):
    """The answers and the gradients of `weighted` by some tensors; None for one without."""
    answers = solve(field, y0, t, gradient=gradient, **how).y
    answers = answers if isinstance(answers, torch.Tensor) else torch.cat([x.flatten() for x in answers])
    return answers, *torch.autograd.grad(weighted(answers), inputs, retain_graph=True, allow_unused=True)


def assert_same(actual, expected, rtol=1e-12, atol=1e-12):
    for one, other in zip(actual, expected, strict=True):
        if other is None or one is None:
            assert one is None and other is None
        else:
            torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def logistic(rate, capacity):
    """y' = r (1 + cos t) y (1 - y/K), with rates of each sample."""
    return lambda t, y: rate * (1 + torch.cos(t)).unsqueeze(-1) * y * (1 - y / capacity)


def per_sample_logistic():
    """Start, rate and capacity of three samples, two entries each."""
    return tuple(
        numbers.requires_grad_()
        for numbers in (
            double([0.3, 0.5], [0.9, 0.2], [1.2, 2.0]),
            double([1.0, 2.0], [0.5, 0.8], [1.5, 0.1]),
            double([1.0, 3.0], [2.0, 1.5], [1.0, 1.0]),
        )
    )
