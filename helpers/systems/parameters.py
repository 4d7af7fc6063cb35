"""Parameters that are one number for all samples, or one for each."""

from dataclasses import fields

from torch import Tensor


def per_sample(system: object, entry: Tensor) -> tuple[float | Tensor, ...]:
    """The parameters of a system in their order, each shaped to meet one entry of its states.

    Numbers stay as they are. A tensor (B,) belongs to the samples, the first dimension of an entry
    (B, ...), whatever follows it: the times of a trajectory, say.

    Raises
    ------
    ValueError
        If a parameter is a tensor with neither one value nor one for each sample.
    """
    return tuple(_aligned(field.name, getattr(system, field.name), entry) for field in fields(system))


def _aligned(name: str, parameter: float | Tensor, entry: Tensor) -> float | Tensor:
    if not isinstance(parameter, Tensor) or parameter.ndim == 0 or entry.ndim == 0:
        return parameter
    if parameter.ndim > 1 or parameter.shape[0] not in (1, entry.shape[0]):
        raise ValueError(
            f"{name} must be one number or one for each of the {entry.shape[0]} samples: "
            f"got shape {tuple(parameter.shape)}"
        )
    return parameter[(..., *[None] * (entry.ndim - 1))]
