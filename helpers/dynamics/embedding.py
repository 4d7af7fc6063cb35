"""A state rebuilt from one measured variable and its own past: delay embedding, and how to choose it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.arguments import (
    check_finite,
    check_floating,
    check_single_or_double,
    check_whole_number,
    refuse_where,
)

MAX_DISTANCE_RATIO, MAX_SIZE_RATIO = 15.0, 2.0
"""Kennel's two thresholds: a neighbour is false that leaves this far, or so far for the attractor's size."""

MAX_FALSE_SHARE = 0.01
"""Share of false neighbours below which the dimension is large enough."""

MAX_BINS, PAIRS_PER_CELL = 32, 5
"""Most bins of the mutual information, and how many points a cell of the histogram should hold on average."""

ROUND_OFF = 1e3
"""Units of rounding of the largest value below which two values of a series are taken to be the same."""

ROWS_AT_ONCE = 512
"""Points whose distances to all others are held in memory together."""


@dataclass(frozen=True, eq=False)
class DelayEmbedding:
    """A series as a path of delay vectors, and what they were chosen by.

    Attributes
    ----------
    vectors : Tensor (B, T - (m - 1) d, m)
        (x_t, x_{t-d}, …, x_{t-(m-1)d}); the first is of t = (m - 1) d.
    delay : int
        d, in steps.
    dimension : int
        m.
    mutual_information : Tensor (L + 1,) or None
        Between x_t and x_{t-l} for l = 0 … L, in nats; None where the delay was given.
    false_neighbours : Tensor (M,) or None
        Their share in dimensions 1 … M; None where the dimension was given.
    """

    vectors: Tensor
    delay: int
    dimension: int
    mutual_information: Tensor | None
    false_neighbours: Tensor | None


def delay_embedding(
    x: Tensor,
    delay: int | None = None,
    dimension: int | None = None,
    *,
    longest_delay: int = 100,
    largest_dimension: int = 8,
    bins: int | None = None,
) -> DelayEmbedding:
    """Rebuild a state from a measured series: (x_t, x_{t-d}, …, x_{t-(m-1)d}).

    By default the delay is the first minimum of the mutual information, and the dimension the first with
    fewer than 1 % false neighbours. Generically, m > 2 × the attractor's dimension is enough (Takens).

    Parameters
    ----------
    x : Tensor (T,) or (B, T)
        Evenly sampled; several series are of one system, and share delay and dimension.
    delay : int, optional
        d ≥ 1, in steps.
    dimension : int, optional
        m ≥ 1.
    longest_delay : int
        L, the longest delay tried.
    largest_dimension : int
        M, the largest dimension tried.
    bins : int, optional
        Of the mutual information; by default by the length of the series.

    Raises
    ------
    ValueError
        If `x` is not finite floating-point (T,) or (B, T), is too short, or no delay or dimension
        tried will do.

    Source: Takens (1981), Detecting strange attractors in turbulence; Fraser and Swinney (1986), Independent
    coordinates for strange attractors from mutual information, Physical Review A 33; Kennel, Brown and
    Abarbanel (1992), Determining embedding dimension for phase-space reconstruction, Physical Review A 45.
    """
    x = _check_series(x)
    information = shares = None
    if delay is None:
        information = mutual_information(x, longest_delay, bins=bins)
        delay = first_minimum(information)
    if dimension is None:
        shares = false_neighbours(x, delay, largest_dimension)
        dimension = _first_below_limit(shares)
    return DelayEmbedding(delay_vectors(x, delay, dimension), delay, dimension, information, shares)


def delay_vectors(x: Tensor, delay: int, dimension: int) -> Tensor:
    """(x_t, x_{t-d}, …, x_{t-(m-1)d}) (B, T - (m-1) d, m) of series (T,) or (B, T)."""
    x = _check_series(x)
    check_whole_number("delay", delay), check_whole_number("dimension", dimension)
    span = (dimension - 1) * delay
    if span >= x.shape[1]:
        needed = f"more than (dimension - 1) · delay = {span} steps"
        raise ValueError(f"x must have {needed}: got {x.shape[1]}")
    return x.unfold(1, span + 1, 1)[..., ::delay].flip(-1)


def mutual_information(x: Tensor, longest_delay: int, *, bins: int | None = None) -> Tensor:
    """How much x_{t-l} tells about x_t, in nats, for l = 0 … L: (L + 1,).

    ::

        I(l) = Σ_ij p_ij(l) ln (p_ij(l) / (p_i p_j))

    over a histogram with `bins` bins of equal count for each of the two. By default they are as many as
    leave five points to a cell, √(N/5) for N points of all series, from 2 to 32: with more, chance alone
    makes a short series seem to know its past. No histogram tells more than ln `bins`.

    Source: Cellucci, Albano and Rapp (2005), Statistical validation of mutual information calculations,
    Physical Review E 71.
    """
    x = _check_series(x)
    check_whole_number("longest_delay", longest_delay)
    if longest_delay >= x.shape[1]:
        raise ValueError(f"x must have more than longest_delay = {longest_delay} steps: got {x.shape[1]}")
    if bins is None:
        bins = min(MAX_BINS, max(2, math.isqrt(x.numel() // PAIRS_PER_CELL)))
    check_whole_number("bins", bins, least=2)
    labels = _equal_count_bins(_same_where_equal(x), bins)
    return torch.stack([_information(labels, lag, bins, x) for lag in range(longest_delay + 1)])


def first_minimum(information: Tensor) -> int:
    """The first lag at which information (L + 1,) is less than before and not more than after."""
    check_floating("information", information)
    if information.ndim != 1:
        raise ValueError(f"information must have shape (L + 1,): got shape {tuple(information.shape)}")
    check_finite("information", information)
    falls, rises = information[1:-1] < information[:-2], information[1:-1] <= information[2:]
    minima = (falls & rises).nonzero().squeeze(-1)
    if not len(minima):
        raise ValueError(
            "longest_delay must reach a minimum of the mutual information: "
            f"none in 1 … {len(information) - 2}"
        )
    return minima[0].item() + 1


def false_neighbours(x: Tensor, delay: int, largest_dimension: int) -> Tensor:
    """The share of nearest neighbours that are so only in projection, in dimensions 1 … M: (M,).

    A neighbour at distance r in the first m coordinates, oldest first, is false if the coordinate that
    follows them parts the two by more than 15 r, or by so much that their distance in m + 1 dimensions
    exceeds twice the standard deviation of x. A distance at the level of round-off, as of a series that
    repeats itself, counts as that level. Neighbours in time, within one delay, do not count.

    Raises
    ------
    ValueError
        If `x` is not finite floating-point (T,) or (B, T), or so short that some point has no neighbour.
    """
    x = _check_series(x)
    check_whole_number("delay", delay), check_whole_number("largest_dimension", largest_dimension)
    least = (largest_dimension + 2) * delay + 2  # the middle one of 2 · delay + 2 vectors has a neighbour
    if x.shape[1] < least:
        needed = f"at least (largest_dimension + 2) · delay + 2 = {least} steps"
        raise ValueError(f"x must have {needed}, so that every point has a neighbour: got {x.shape[1]}")
    x = _in_a_unit_of_its_own(x)
    longest = delay_vectors(x, delay, largest_dimension + 1).flip(-1)  # oldest first: (B, N, M + 1)
    size, least = x.std(), _round_off(x)
    return torch.stack(
        [
            _false_share(longest, dimension, delay, size, least)
            for dimension in range(1, largest_dimension + 1)
        ]
    )


def _in_a_unit_of_its_own(x: Tensor) -> Tensor:
    """x by the power of two below its largest value, which rounds nothing and whose square is a float."""
    largest = x.abs().amax()
    return x / largest.where(largest > 0, 1.0).log2().floor().exp2()


def _false_share(vectors: Tensor, dimension: int, delay: int, size: Tensor, least: Tensor) -> Tensor:
    """The share of false neighbours in the first `dimension` coordinates of vectors (B, N, M + 1)."""
    points, following = vectors[..., :dimension], vectors[..., dimension]
    distance, neighbour = _nearest(points, delay)
    parting = (following - following.gather(1, neighbour)).abs()
    in_all = (distance.square() + parting.square()).sqrt()
    leaves = parting > MAX_DISTANCE_RATIO * torch.maximum(distance, least)
    return (leaves | (in_all > MAX_SIZE_RATIO * size)).to(vectors.dtype).mean()


def _nearest(points: Tensor, excluded: int) -> tuple[Tensor, Tensor]:
    """Distance to, and index of, the nearest point (B, N) that is more than `excluded` steps away."""
    steps = torch.arange(points.shape[1], device=points.device)
    nearest = []
    for rows in steps.split(ROWS_AT_ONCE):
        distance = torch.cdist(points[:, rows], points, compute_mode="donot_use_mm_for_euclid_dist")
        close_in_time = (rows[:, None] - steps).abs() <= excluded
        nearest.append(distance.masked_fill(close_in_time, torch.inf).min(-1))
    distances, indices = zip(*nearest, strict=True)
    return torch.cat(distances, dim=1), torch.cat(indices, dim=1)


def _first_below_limit(shares: Tensor) -> int:
    few = (shares < MAX_FALSE_SHARE).nonzero().squeeze(-1)
    if not len(few):
        least = shares.min().item()
        raise ValueError(
            f"largest_dimension must leave fewer than {MAX_FALSE_SHARE:.0%} false neighbours: "
            f"{least:.1%} are left at best in 1 … {len(shares)}"
        )
    return few[0].item() + 1


def _round_off(x: Tensor) -> Tensor:
    """How far apart two values may be that would be the same without rounding."""
    return ROUND_OFF * torch.finfo(x.dtype).eps * x.abs().amax()


def _same_where_equal(x: Tensor) -> Tensor:
    """x with values that differ by round-off made the same: each run of them in order becomes its first."""
    ordered, order = x.flatten().sort()
    begins = torch.cat((x.new_ones(1, dtype=torch.bool), ordered.diff() > _round_off(x)))
    first = ordered[begins][begins.cumsum(0) - 1]
    return torch.empty_like(first).scatter(0, order, first).reshape(x.shape)


def _equal_count_bins(x: Tensor, bins: int) -> Tensor:
    """The bin of every value of all series together, each with as many values: (B, T)."""
    inner_edges = torch.arange(1, bins, dtype=x.dtype, device=x.device) / bins
    ordered = x.flatten().sort().values
    return torch.bucketize(x.contiguous(), ordered[(inner_edges * len(ordered)).long()], right=True)


def _information(labels: Tensor, lag: int, bins: int, like: Tensor) -> Tensor:
    now, before = labels[:, lag:], labels[:, : labels.shape[1] - lag]
    counts = torch.bincount((now * bins + before).flatten(), minlength=bins**2).reshape(bins, bins)
    joint = counts.to(like.dtype) / counts.sum()
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return torch.special.xlogy(joint, joint / independent.where(independent > 0, 1.0)).sum()


def _check_series(x: Tensor) -> Tensor:
    """Series as (B, T); refuse any other shape, and anything not finite."""
    check_single_or_double("x", x)
    if x.ndim not in (1, 2) or 0 in x.shape:
        raise ValueError(f"x must have shape (T,) or (B, T), and not be empty: got shape {tuple(x.shape)}")
    batched = x.reshape(-1, x.shape[-1])
    refuse_where(
        ~batched.isfinite(),
        lambda series, step: (
            f"x must be finite: series {series} has x[{step}] = {batched[series, step].item()}"
        ),
    )
    return batched
