"""How fast nearby states part: Lyapunov exponents over long times, and stretching over finite ones."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers.arguments import check_whole_number, refuse_where
from helpers.dynamics.systems import System, identity_like
from helpers.dynamics.tangents import Trajectories, trajectories

COSINE_WAVES = 10
"""Slowest cosine waves of the growth rate that the standard error is estimated from, to about a fifth."""

FIRST_INTERVAL = 8
"""Steps between two QR decompositions, until it is known how often they are needed."""


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """Lyapunov exponents of each trajectory, the largest first, and how sure they are.

    Attributes
    ----------
    exponents : Tensor (B, K)
        λ_1 ≥ … ≥ λ_K, per step of a map or per unit of time of a flow; -∞ of a direction that dies out in one
        step, to the round-off of float64, as at a superstable cycle.
    standard_error : Tensor (B, K)
        Of the plain mean, from how much the growth rate wanders over times as long as the run. Too large for
        short runs (Lorenz's λ₁: 2.5 times after 40 units of time, 1.4 times after 200). It knows nothing of a
        transient that is still going on: look at the trace. NaN for fewer than 20 QR decompositions, and
        where the exponent is -∞.
    times : Tensor (N,)
        When the tangent vectors were made orthogonal again.
    trace : Tensor (B, N, K)
        The mean growth rates from the beginning up to each of these times: how the answer settled.
    """

    exponents: Tensor
    standard_error: Tensor
    times: Tensor
    trace: Tensor


@torch.no_grad()
def lyapunov_spectrum(
    system: System,
    start: Tensor,
    steps: int,
    *,
    transient: int = 0,
    dt: float | None = None,
    inputs: Tensor | None = None,
    count: int | None = None,
    smooth_average: bool = False,
    generator: Generator | None = None,
) -> LyapunovSpectrum:
    """Follow a state and K vectors tangent to it, and average how much each direction grows.

    ::

        J_t Q_t = Q_{t+1} R_{t+1},   λ_i = mean of ln |R_ii| / Δt

    A flow is integrated by Runge-Kutta steps, state and tangents alike. QR decompositions are made only as
    often as round-off demands: the lengths of the vectors may spread to ε^-⅓ (in float64 1.6e5) between two.

    Parameters
    ----------
    system : Map or Flow
        A driven map takes `inputs`.
    start : Tensor (B, D)
        Where each trajectory begins; float64 is recommended.
    steps : int
        Steps averaged over.
    transient : int
        Steps taken before, in which the state finds its attractor and the tangents find their directions.
    dt : float, for a flow only
        Length of a step, in the flow's unit of time.
    inputs : Tensor (B, transient + steps, I), for a driven map only
        x_t of every step.
    count : int, optional
        K, how many exponents; default all D.
    smooth_average : bool
        Weigh the growth at time s of S by exp(-1 / (u (1 - u))), u = s/S. Where the motion is regular (a
        fixed point with complex eigenvalues, a cycle, a torus) the error then falls faster than any power of
        S, not as 1/S; where it is chaotic, it is a little larger.
    generator : torch.Generator, optional
        Of the first tangent vectors; by default they are the same at every call.

    Raises
    ------
    ValueError
        If an argument does not fit, a flow depends on time or needs a shorter dt, or a trajectory diverges:
        the message says which sample, and when. In float32 also, if a direction shrinks in one step by more
        than the Jacobian's round-off, 6e-8.

    Source: Benettin, Galgani, Giorgilli and Strelcyn (1980), Lyapunov characteristic exponents for smooth
    dynamical systems, Meccanica 15. Smooth average: Das, Saiki, Sander and Yorke (2017), Quantitative
    quasiperiodicity, Nonlinearity 30.
    """
    check_whole_number("transient", transient, least=0)
    check_whole_number("steps", steps)
    run = trajectories(system, start, transient + steps, dt, inputs)
    count = _check_exponents(count, start)
    ends, growth = _growth_of_blocks(run, _first_tangents(start, count, generator), transient, steps)
    return _summary(ends * run.dt, growth, smooth_average)


@torch.no_grad()
def ftle(
    system: System, starts: Tensor, steps: int, *, dt: float | None = None, inputs: Tensor | None = None
) -> Tensor:
    """How much a small displacement of each start is stretched at most, over a finite time.

    ::

        FTLE = ln ‖∂h_T/∂h_0‖₂ / (T Δt),   ‖·‖₂ the largest singular value

    Parameters
    ----------
    system : Map or Flow
        A driven map takes `inputs`.
    starts : Tensor (B, D)
        Where each trajectory begins; float64 is recommended.
    steps : int
        T, the horizon.
    dt : float, for a flow only
        Length of a Runge-Kutta step, in the flow's unit of time.
    inputs : Tensor (B, steps, I), for a driven map only
        x_t of every step.

    Returns
    -------
    Tensor (B,)
        The finite-time Lyapunov exponent, per step of a map or per unit of time of a flow; -∞ where no
        displacement is left.

    Raises
    ------
    ValueError
        If an argument does not fit, a flow depends on time or needs a shorter dt, or a trajectory diverges:
        the message says which sample, and when.

    Source: Shadden, Lekien and Marsden (2005), Definition and properties of Lagrangian coherent structures,
    Physica D 212.
    """
    run = trajectories(system, starts, steps, dt, inputs)
    state, product = starts, identity_like(starts).expand(len(starts), -1, -1)
    log_scale = torch.zeros_like(starts[:, 0])
    for first, last in run.chunks(0, steps):
        arguments, state = run.follow(state, first, last)
        for block in run.jacobians(arguments, check=first == 0 or last == steps).split(FIRST_INTERVAL):
            product, log_size = _multiply(block, product)
            log_scale = log_scale + log_size
    return (torch.linalg.matrix_norm(product, ord=2).log() + log_scale) / (steps * run.dt)


def _multiply(jacobians: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """Jacobians (T, B, D, D) after a product (B, D, D): their product to largest entry 1, and ln of its size.

    In two halves where it came near the ends of the dtype. A product of zero stays so: its ln is -∞.
    """
    result = product
    for jacobian in jacobians:
        result = jacobian @ result
    size = result.abs().amax((-2, -1))
    limits = torch.finfo(size.dtype)
    dead = product.abs().amax((-2, -1)) == 0
    safe = ((size > limits.tiny**0.5) & (size < limits.max**0.5)) | dead
    if len(jacobians) > 1 and not safe.all():
        half = len(jacobians) // 2
        product, first = _multiply(jacobians[:half], product)
        product, second = _multiply(jacobians[half:], product)
        return product, first + second
    return result / size.where(size > 0, 1.0)[:, None, None], size.log()


def _growth_of_blocks(
    run: Trajectories, tangents: Tensor, transient: int, steps: int
) -> tuple[Tensor, Tensor]:
    """After each block of steps, the steps since the transient (N,), and its ln |R_ii| (N, B, K)."""
    state, interval, blocks = run.start, FIRST_INTERVAL, []
    ends = []
    for first, last in run.chunks(0, transient) + run.chunks(transient, transient + steps):
        arguments, state = run.follow(state, first, last)
        jacobians = run.jacobians(arguments, check=first == 0 or last == transient + steps)
        tangents, growth, used, interval = _stretch_precisely(jacobians, tangents, interval)
        if first >= transient:
            blocks.append(growth)
            ends += [min(end, last) - transient for end in range(first + used, last + used, used)]
    return torch.tensor(ends).to(growth), torch.cat(blocks)


def _stretch_precisely(jacobians: Tensor, tangents: Tensor, interval: int) -> tuple[Tensor, Tensor, int, int]:
    """Stretch the tangents, again with shorter intervals if that lost digits to round-off.

    Two vectors whose lengths grow apart by e^s between QR decompositions lose s / ln 10 digits: a third of
    the digits may go. Returns the tangents, the growth, the interval used, and one for the next chunk.
    """
    allowed = -math.log(torch.finfo(tangents.dtype).eps) / 3
    while True:
        stretched, growth = _stretch(jacobians, tangents, interval)
        spread = (growth.amax(-1) - growth.amin(-1)).max()
        strain = torch.maximum(spread, growth.abs().max() / 5).item() / allowed  # 5: far from overflow
        if strain <= 1:
            break
        if interval == 1:
            if strain > 3:  # all digits
                stretched, growth = _stretch_to_round_off(jacobians, tangents)
            break
        interval = max(1, interval // 2)
    longer = min(2 * interval, len(jacobians))
    return stretched, growth, interval, longer if strain < 0.4 else interval


def _stretch(jacobians: Tensor, tangents: Tensor, interval: int) -> tuple[Tensor, Tensor]:
    """Carry tangents (B, D, K) through Jacobians (T, B, D, D); ln |R_ii| (N, B, K) at each QR."""
    growth = []
    for block in jacobians.split(interval):
        for jacobian in block:
            tangents = jacobian @ tangents
        tangents, triangle = torch.linalg.qr(tangents)
        growth.append(triangle.diagonal(dim1=-2, dim2=-1).abs().log())
    return tangents, torch.stack(growth)


def _stretch_to_round_off(jacobians: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """`_stretch` by one step at a time, in float64; -∞ where no more than round-off is left of R_ii.

    In float32 refuse what is more, but less than the Jacobian's own round-off.
    """
    dtype, tangents = tangents.dtype, tangents.double()
    growth, sums = [], []
    for jacobian in jacobians.double():
        image = jacobian.abs() @ tangents.abs()  # (B, D, K)
        tangents, triangle = torch.linalg.qr(jacobian @ tangents)
        growth.append(triangle.diagonal(dim1=-2, dim2=-1).abs())
        sums.append(_round_off(image, tangents, triangle))
    growth, sums = torch.stack(growth), torch.stack(sums)  # (T, B, K)
    alive = growth > torch.finfo(torch.float64).eps * jacobians.shape[-1] * sums
    refuse_where(
        alive & (growth < torch.finfo(dtype).eps * sums),
        lambda step, sample, i: (
            f"start must be float64: round-off of {dtype} hides how exponent {i} of sample {sample} falls"
        ),
    )
    return tangents.to(dtype), growth.where(alive, 0.0).log().to(dtype)


def _round_off(image: Tensor, orthogonal: Tensor, triangle: Tensor) -> Tensor:
    """How far each R_ii (B, K) moves if each entry of J Q moves by that of |J| |Q|, to first order.

    ::

        δR_ii = Σ_{k ≤ i} |R_ki / R_kk| (|q_i| · (|J| |Q|)_k)
    """
    diagonal = triangle.diagonal(dim1=-2, dim2=-1)
    shares = triangle / diagonal.where(diagonal != 0, torch.inf)[..., None]  # R_ki / R_kk, row by row
    shares = shares + torch.diag_embed((diagonal == 0).to(shares))
    return (orthogonal.abs().mT @ image * shares.abs().mT).sum(-1)


def _summary(times: Tensor, growth: Tensor, smooth_average: bool) -> LyapunovSpectrum:
    """Exponents and how they settled, from the growth (N, B, K) up to each time (N,)."""
    begins = torch.cat((times.new_zeros(1), times[:-1]))
    durations = times - begins
    rates = growth / durations[:, None, None]
    weights = durations * (_bump((begins + times) / 2 / times[-1]) if smooth_average else 1)
    dead = growth.isneginf()  # whose weight may be 0, and the product then NaN
    exponents = torch.einsum("n,nbk->bk", weights / weights.sum(), rates.masked_fill(dead, 0.0))
    exponents = exponents.masked_fill(dead.any(0), -torch.inf)
    order = exponents.argsort(dim=-1, descending=True)  # (B, K)
    trace = (growth.cumsum(0) / times[:, None, None]).movedim(0, 1)
    return LyapunovSpectrum(
        exponents.gather(-1, order),
        _standard_error(growth, times).gather(-1, order),
        times,
        trace.gather(-1, order[:, None].expand_as(trace)),
    )


def _bump(u: Tensor) -> Tensor:
    """exp(-1 / (u (1 - u))), which vanishes with all its derivatives at u = 0 and 1."""
    return (-1 / (u * (1 - u))).exp()


def _standard_error(growth: Tensor, times: Tensor) -> Tensor:
    """Of the mean rate (B, K): a long sum varies as much as the rate's slowest waves do.

    ::

        a_k = √2 Σ_n (growth_n - mean) cos(π k t_n / T),   standard error = √(mean of a_k²) / T,   k = 1 … 10

    Source: Lazarus, Lewis, Stock and Watson (2018), HAR inference: recommendations for practice, Journal of
    Business and Economic Statistics 36 (the equal-weighted cosine estimator).
    """
    if len(times) < 2 * COSINE_WAVES:
        return torch.full_like(growth[0], torch.nan)
    begins = torch.cat((times.new_zeros(1), times[:-1]))
    deviations = growth - (times - begins)[:, None, None] * growth.sum(0) / times[-1]
    wave_numbers = torch.arange(1, COSINE_WAVES + 1).to(times)
    waves = (math.pi * wave_numbers[:, None] * (begins + times) / (2 * times[-1])).cos()
    amplitudes = math.sqrt(2) * torch.einsum("wn,nbk->wbk", waves, deviations)
    return amplitudes.square().mean(0).sqrt() / times[-1]


def _first_tangents(start: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Orthonormal vectors (B, D, K) in no particular directions, the same for every sample."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    shape = (start.shape[-1], count)
    directions = torch.randn(shape, generator=generator, dtype=start.dtype, device=generator.device)
    return torch.linalg.qr(directions.to(start.device)).Q.expand(len(start), -1, -1)


def _check_exponents(count: int | None, start: Tensor) -> int:
    dimension = start.shape[-1]
    count = dimension if count is None else count
    check_whole_number("count", count)
    if count > dimension:
        raise ValueError(f"count must be at most the number of variables, {dimension}: got {count}")
    return count
