"""From continuous time to steps, exactly: how a linear stochastic differential equation moves over a gap."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import check_finite, check_like, entry, refuse_where
from helpers.statespace.matrices import check_covariance, check_shape, check_square, symmetric


def discretise(
    F: Tensor, L: Tensor, spectral_density: Tensor, deltas: Tensor, input: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """How dh = (F h + B u) dt + L dβ moves the state over each gap Δ.

    ::

        A = exp(F Δ),   Q = ∫₀^Δ exp(F s) L q Lᵀ exp(Fᵀ s) ds,   B̃ = ∫₀^Δ exp(F s) ds B

    Equal gaps cost one exponential. Differentiable in every argument.

    Parameters
    ----------
    F, L, spectral_density, deltas, input
        As in `LinearGaussian.from_sde`.

    Returns
    -------
    A, Q : Tensor (..., H, H), where deltas has shape (...)
    B : Tensor (..., H, U), or None without input

    Raises
    ------
    ValueError
        Naming the matrix or the gap that is wrong, or over which the state grows beyond the largest number.
    """
    _check(F, L, spectral_density, deltas, input)
    gaps = deltas if deltas.ndim == 0 else torch.cat([torch.zeros_like(deltas[..., :1]), deltas[..., 1:]], -1)
    _check_gaps(gaps)
    drive = F.new_zeros(F.shape[-1], 0) if input is None else input
    matrices = F, L @ spectral_density @ L.mT, drive
    A, Q, B = (_by_series if any(matrix.ndim == 3 for matrix in matrices) else _by_gap)(matrices, gaps)
    _check_grown(gaps, A, Q, B)
    return A, Q, None if input is None else B


def _by_gap(matrices: tuple[Tensor, ...], gaps: Tensor) -> tuple[Tensor, ...]:
    """One exponential for each distinct gap (...), where all series share F, the noise and the drive."""
    if gaps.requires_grad:
        distinct, index = gaps.reshape(-1), torch.arange(gaps.numel(), device=gaps.device)
    else:
        distinct, index = torch.unique(gaps, return_inverse=True)
    moved = _move(*(matrix.unsqueeze(0) for matrix in matrices), distinct)
    return tuple(part[index.reshape(gaps.shape)] for part in moved)


def _by_series(matrices: tuple[Tensor, ...], gaps: Tensor) -> tuple[Tensor, ...]:
    """One exponential for each series and step, (B, T, ...)."""
    series = max(len(matrix) for matrix in matrices if matrix.ndim == 3)
    gaps = gaps.expand(series, -1) if gaps.ndim else gaps.expand(series, 1)
    each = (matrix.expand(series, -1, -1).repeat_interleave(gaps.shape[1], 0) for matrix in matrices)
    return tuple(part.unflatten(0, gaps.shape) for part in _move(*each, gaps.flatten()))


def _move(F: Tensor, noise: Tensor, drive: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A, Q and B over each gap (N,), by doubling shorter ones; matrices are (1, ...) or (N, ...).

    ::

        A(2Δ) = A A,   Q(2Δ) = A Q Aᵀ + Q,   B(2Δ) = A B + B

    Van Loan's exponential holds exp(−F Δ) too, which overflows over a gap long for a fast decay. So it is
    taken over a gap halved until ‖F‖ Δ ≤ 1, and doubled from there; a sum of positive terms, which keeps Q
    positive semi-definite. As Q and B are linear in the noise and in the drive, these enter the exponential
    with a largest entry of 1, beside which those of F Δ keep their digits, however strong the noise.
    """
    halvings = _largest(F).log2() + math.log2(F.shape[-1]) + gaps.detach().log2()  # a product might overflow
    halvings = halvings.clamp(min=0.0).ceil()
    half = torch.exp2(-(halvings / 2).floor())
    shorter = gaps * half * torch.exp2(-(halvings / 2).ceil())  # 2 to the power -halvings might underflow
    strength, push = (_largest(part).clamp(min=torch.finfo(F.dtype).tiny) for part in (noise, drive))
    gap, strength, push = (part[:, None, None] for part in (shorter, strength, push))
    A, Q, B = _van_loan(F * gap, noise / strength, drive / push)
    for doubling in range(int(halvings.max())):
        again = (doubling < halvings)[:, None, None]
        Q = torch.where(again, A @ Q @ A.mT + Q, Q)
        B = torch.where(again, A @ B + B, B)
        A = torch.where(again, A @ A, A)
    return A, gap * strength * symmetric(Q), gap * push * B


def _largest(matrix: Tensor) -> Tensor:
    """The largest modulus of an entry of each matrix (N, ·, ·), shape (N,); 0 if there is none."""
    return pad(matrix.detach().abs().flatten(1), (0, 1)).amax(-1)


def _van_loan(F: Tensor, noise: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One exponential of a block matrix holds all three, here over a gap of 1.

    ::

            ⎛ F   L q Lᵀ   B ⎞       ⎛ A   Q A⁻ᵀ   B̃ ⎞
        exp ⎜ 0     −Fᵀ    0 ⎟    =  ⎜ 0    A⁻ᵀ    0 ⎟
            ⎝ 0      0     0 ⎠       ⎝ 0     0     I ⎠

    Source: Van Loan (1978), IEEE Transactions on Automatic Control 23(3), theorem 1.
    """
    H, U = drive.shape[-2:]
    noise, drive = noise.expand_as(F), drive.expand(len(F), H, U)
    first = torch.cat([F, noise, drive], -1)
    second = torch.cat([torch.zeros_like(F), -F.mT, torch.zeros_like(drive)], -1)
    blocks = torch.cat([first, second, F.new_zeros(len(F), U, 2 * H + U)], -2)
    # Of one matrix torch's exponential loses half of its digits (PyTorch issue 196592), of two it does not.
    exponential = torch.linalg.matrix_exp(torch.cat([blocks, torch.zeros_like(blocks[:1])]))[:-1]
    A, scaled, B = exponential[:, :H].split([H, H, U], -1)
    return A, scaled @ A.mT, B


def _check(F: Tensor, L: Tensor, spectral_density: Tensor, deltas: Tensor, input: Tensor | None) -> None:
    check_square("F", F, least=1)
    given = {"F": F, "L": L, "spectral_density": spectral_density, "deltas": deltas}
    given |= {} if input is None else {"input": input}
    for name, tensor in given.items():
        check_like(name, tensor, "F", F)
    check_square("spectral_density", spectral_density)
    check_shape("L", L, {"H": F.shape[-1], "S": spectral_density.shape[-1]}, "as F and spectral_density do")
    check_finite("F", F)
    check_finite("L", L)
    check_covariance("spectral_density", spectral_density)
    if input is not None:
        check_shape("input", input, {"H": F.shape[-1], "U": None}, "as F does")
        check_finite("input", input)
    _check_series(given)
    if deltas.ndim > 2 or not deltas.numel():
        raise ValueError(
            f"deltas must have shape (), (T,) or (B, T), with at least one gap: got {tuple(deltas.shape)}"
        )


def _check_series(given: dict[str, Tensor]) -> None:
    """Check that what differs between series, (B, rows, columns), speaks of equally many."""
    own = {name: tensor for name, tensor in given.items() if name != "deltas" and tensor.ndim > 2}
    counts = {name: len(tensor) for name, tensor in own.items()}
    if own and given["deltas"].ndim == 2:
        counts["deltas"] = len(given["deltas"])
    for name, tensor in own.items():
        if tensor.ndim > 3 or len(tensor) != next(iter(counts.values())) or len(set(counts.values())) > 1:
            described = ", ".join(f"{other} {count}" for other, count in counts.items())
            raise ValueError(
                f"{name} must be one matrix or one per series, (B, ...), for as many series as the others: "
                f"got shape {tuple(tensor.shape)} (series: {described})"
            )


def _check_gaps(gaps: Tensor) -> None:
    refuse_where(
        ~(gaps.isfinite() & (gaps >= 0)),
        lambda *index: (
            f"deltas must be finite and not negative: {_place(index)}{entry('deltas', gaps, *index)}"
        ),
    )


def _check_grown(gaps: Tensor, *moved: Tensor) -> None:
    """Refuse what overflowed on the way over a gap; `moved` are (..., ·, ·), for gaps (...) or (B, T)."""
    finite = torch.stack([part.isfinite().flatten(-2).all(-1) for part in moved]).all(0)
    refuse_where(
        ~finite,
        lambda *index: (
            f"F, L and deltas must give matrices that {gaps.dtype} holds: {_place(index)}they grow beyond "
            "its largest number"
        ),
    )


def _place(index: tuple[int, ...]) -> str:
    """Which series and step, for messages; empty for one gap."""
    words = ("series", "step")[2 - len(index) :]
    return "".join(f"{word} {i}, " for word, i in zip(words, index, strict=True))
