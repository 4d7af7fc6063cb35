"""The start of a Baum-Welch fit: what is held fixed in it, and states that it could never tell apart."""

from collections.abc import Mapping

import torch
from torch import Tensor

from helpers.arguments import kind, refuse_where
from helpers.statespace.hmm.gaussian_emission import GaussianEmission
from helpers.statespace.hmm.model import HMM, Emission

ROUND_OFF = 8
"""Units of machine precision by which two states' parameters may differ and count as the same."""


def hold(hmm: HMM, fixed: Mapping[str, Tensor]) -> tuple[HMM, dict[str, Tensor]]:
    """The model with the values at which fields are held, and a bool tensor of what stays, by name."""
    if not isinstance(fixed, Mapping):
        raise ValueError(f"fixed must map names to tensors: got {kind(fixed)}")
    held = {}
    for name, value in fixed.items():
        if name not in (names := hmm.parameters):
            raise ValueError(f"fixed must name fields among {', '.join(names)}: got {name!r}")
        _check_fixed(name, value, names[name])
        if value.dtype == torch.bool:
            held[name] = value
            continue
        held[name] = torch.ones_like(value, dtype=torch.bool)
        hmm = hmm.with_parameters({name: value.detach()})
    _check_whole_states(hmm.emission, held)
    return hmm, held


def _check_fixed(name: str, value: Tensor, field: Tensor) -> None:
    if not isinstance(value, Tensor) or value.dtype not in (torch.bool, field.dtype):
        raise ValueError(
            f"fixed[{name!r}] must be a bool tensor, or a {field.dtype} value: got {kind(value)}"
        )
    if value.shape != field.shape:
        raise ValueError(f"fixed[{name!r}] must have shape {tuple(field.shape)}: got {tuple(value.shape)}")


def _check_whole_states(emission: Emission, held: dict[str, Tensor]) -> None:
    """Means and covariances are averages of whole vectors, and a tied covariance is one for all states."""
    if not isinstance(emission, GaussianEmission):
        return
    for name in held.keys() & {"mean", "covariance"}:
        rows = held[name].flatten(1)
        refuse_where(
            rows.any(1) != rows.all(1),
            lambda state, name=name: (
                f"fixed[{name!r}] must hold whole states: of state {state} it holds a part"
            ),
        )
    covariance = held.get("covariance")
    if emission.tied and covariance is not None and covariance.any() != covariance.all():
        raise ValueError("fixed['covariance'] must hold all states or none where covariances are tied")


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
