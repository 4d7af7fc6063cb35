"""Exercise 7: all Lyapunov exponents of a run, from its Jacobians, by QR decompositions."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from helpers.checks.functions import examine
from helpers.checks.verdict import Verdict


def _spectrum(
    jacobians: Tensor,
    *,
    carry: Callable = torch.matmul,
    orthogonal: Callable = torch.linalg.qr,
    size: Callable = torch.abs,
) -> Tensor:
    """Mean of ln |R_ii| over J_t Q_t = Q_{t+1} R_{t+1}, from Q_0 = I: (D,)."""
    Q, growth = torch.eye(jacobians.shape[-1]).to(jacobians), []
    for J in jacobians:
        Q, R = orthogonal(carry(J, Q))
        growth.append(size(R.diagonal()).log())
    return torch.stack(growth).mean(0)


def _scale_columns(V: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of length 1, which may lean together, and the lengths on a diagonal."""
    length = V.norm(dim=0)
    return V / length, length.diag()


def _whole_product(jacobians: Tensor, *, size: Callable) -> Tensor:
    """From the product of all Jacobians; NaN where that overflows."""
    product = torch.eye(jacobians.shape[-1]).to(jacobians)
    for J in jacobians:
        product = J @ product
    if not product.isfinite().all():
        return torch.full_like(product[0], torch.nan)
    return size(product).log() / len(jacobians)


def _moduli(matrices: Tensor) -> Tensor:
    """|eigenvalues|, the largest first."""
    return torch.linalg.eigvals(matrices).abs().sort(dim=-1, descending=True).values


_NOT_ORTHOGONAL = (
    "you never make the tangent vectors orthogonal again. All of them turn into the direction that grows "
    "fastest, so that each measures λ_1"
)
MISCONCEPTIONS = (
    (
        "you take eigenvalues of the last Jacobian; it knows of one step only",
        lambda jacobians: _moduli(jacobians[-1]).log(),
    ),
    (
        "you average the eigenvalues of single steps; a vector that one step stretches, the next may shrink, "
        "so carry Q from step to step",
        lambda jacobians: _moduli(jacobians).log().mean(0),
    ),
    (
        "you take eigenvalues of the mean Jacobian; the Jacobians of a run multiply",
        lambda jacobians: _moduli(jacobians.mean(0)).log(),
    ),
    (_NOT_ORTHOGONAL, partial(_spectrum, orthogonal=_scale_columns)),
    (_NOT_ORTHOGONAL, partial(_whole_product, size=lambda product: product.norm(dim=0))),
    (
        "the singular values of the whole product are right until round-off and overflow: the small ones "
        "drown in the large. Take them out at every step, by QR",
        partial(_whole_product, size=torch.linalg.svdvals),
    ),
    (
        "the eigenvalues of the whole product drown in round-off, and it overflows; take a QR decomposition "
        "at every step",
        partial(_whole_product, size=_moduli),
    ),
    (
        "you decompose J, or Q J, whose R is the same: each step starts from I again. The tangent vectors "
        "are the columns of Q, and J carries them: decompose J Q, with the Q of the step before",
        partial(_spectrum, carry=lambda J, Q: J),
    ),
    (
        "you use the transpose of J; it carries gradients backwards, J carries deviations forwards",
        partial(_spectrum, carry=lambda J, Q: J.T @ Q),
    ),
    ("you go through the Jacobians backwards", lambda jacobians: _spectrum(jacobians.flip(0))),
    (
        "you return sums; the exponents are means per step",
        lambda jacobians: len(jacobians) * _spectrum(jacobians),
    ),
    (
        "you forget the absolute value: the signs on the diagonal of R are an accident of the algorithm, and "
        "the logarithm of a negative number is NaN",
        partial(_spectrum, size=lambda diagonal: diagonal),
    ),
)


def lyapunov_spectrum(answer, seed: int = 1) -> Verdict:
    """Exercise 7: `answer(jacobians (T, D, D)) -> (D,)`, starting from Q = I."""
    generator = torch.Generator().manual_seed(seed)
    saddle = torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    start = 0.2 * torch.rand(2, generator=generator, dtype=torch.float64)
    cases = {
        "a saddle, by hand": {"jacobians": saddle.expand(4, -1, -1).clone()},
        "Hénon's map, 200 steps: λ_1 + λ_2 = ln 0.3": {"jacobians": _henon(*start.tolist())},
        "a tanh network of five units": {"jacobians": _network(generator)},
    }
    return examine("lyapunov_spectrum", answer, cases, _spectrum, MISCONCEPTIONS)


def _henon(x: float, y: float, steps: int = 200) -> Tensor:
    """Jacobians [[-2 a x, 1], [b, 0]] of x' = 1 - a x² + y, y' = b x with a = 1.4, b = 0.3."""
    rows = []
    for _ in range(steps):
        rows.append([[-2.8 * x, 1.0], [0.3, 0.0]])
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
    return torch.tensor(rows, dtype=torch.float64)


def _network(generator: Generator, units: int = 5, steps: int = 60) -> Tensor:
    """Jacobians diag(1 - h²) W of a tanh network that reads noise."""
    W = 1.5 * torch.randn(units, units, generator=generator, dtype=torch.float64) / units**0.5
    h, jacobians = torch.zeros(units, dtype=torch.float64), []
    for read in 0.5 * torch.randn(steps, units, generator=generator, dtype=torch.float64):
        h = torch.tanh(W @ h + read)
        jacobians.append((1 - h**2)[:, None] * W)
    return torch.stack(jacobians)
