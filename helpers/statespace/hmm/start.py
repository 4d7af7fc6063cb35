"""The start of a Baum-Welch fit: what is held fixed in it, and states that it could never tell apart."""

from collections.abc import Mapping

import torch
from torch import Tensor

from helpers.arguments import refuse_where
from helpers.statespace.fixed import split_fixed
from helpers.statespace.hmm.gaussian_emission import GaussianEmission
from helpers.statespace.hmm.model import HMM

ROUND_OFF = 8
"""Units of machine precision by which two states' parameters may differ and count as the same."""


def hold(hmm: HMM, fixed: Mapping[str, Tensor] | None) -> tuple[HMM, dict[str, Tensor]]:
    """The model with the values at which fields are held, and a bool tensor of what stays, by name."""
    held, values = split_fixed(hmm.parameters, fixed)
    held |= {name: torch.ones_like(value, dtype=torch.bool) for name, value in values.items()}
    hmm = hmm.with_parameters({name: value.detach() for name, value in values.items()})
    if isinstance(hmm.emission, GaussianEmission) and "covariance" in held:
        _check_held_covariance(hmm.emission, held["covariance"])
    return hmm, held


def _check_held_covariance(emission: GaussianEmission, held: Tensor) -> None:
    """Single variances are averages of their own; covariances are of vectors, tied ones of all states."""
    rows = held.flatten(1)
    refuse_where(
        (rows.any(1) != rows.all(1)) & (not emission.diagonal),
        lambda state: (
            "fixed['covariance'] must hold whole states, but for a diagonal emission: "
            f"of state {state} it holds a part"
        ),
    )
    if emission.tied and (rows != rows[:1]).any():
        raise ValueError("fixed['covariance'] must hold the same of all states where covariances are tied")


def refuse_indistinguishable(hmm: HMM) -> None:
    """Refuse states that emit alike and jump alike: no data tell them apart, and every M-step keeps them so.

    To jump alike is to enter each class of such states with the same probability; the classes are found by
    refinement, from those that emit alike.

    Source: Kemeny and Snell (1976), Finite Markov chains, theorem 6.3.2 (lumpability).
    """
    eps = torch.finfo(hmm.initial.dtype).eps
    emission = [part for name, part in hmm.parameters.items() if name not in ("initial", "transition")]
    alike = torch.stack([_rows_alike(part, ROUND_OFF * eps) for part in emission]).all(0)
    classes = -1
    while classes != (classes := int(alike.sum())):
        entered = hmm.transition @ alike.to(hmm.transition)  # P(into the class of j | i)
        alike = alike & _rows_alike(entered, ROUND_OFF * hmm.states * eps, largest=1.0)
    refuse_where(
        alike.triu(1),
        lambda i, j: (
            f"hmm must start from states that differ: states {i} and {j} emit alike and jump alike, "
            "and would stay so"
        ),
    )


def _rows_alike(part: Tensor, tolerance: float, largest: float | None = None) -> Tensor:
    """Whether two rows (K, ...) are the same but for round-off of each entry, or of `largest`; (K, K)."""
    rows = part.flatten(1)
    size = rows.abs() if largest is None else largest
    return torch.stack([((rows - row).abs() <= tolerance * size).all(1) for row in rows])
