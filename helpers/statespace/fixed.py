"""What a fit holds fixed: single entries, by a mask, or whole fields, by a value."""

from collections.abc import Mapping

import torch
from torch import Tensor

from helpers.arguments import check_like, kind


def split_fixed(
    fields: Mapping[str, Tensor | None], fixed: Mapping[str, Tensor] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What is fixed as masks of entries, True where fixed, and as values of whole fields.

    Parameters
    ----------
    fields : dict of Tensor or None
        Of the model, by name; None for one that it could have and has not.
    fixed : dict of Tensor, or None
        A bool mask or a floating-point value for each name.

    Raises
    ------
    ValueError
        Naming the field that the model does not have, or whose mask or value has another kind or shape.
    """
    if fixed is not None and not isinstance(fixed, Mapping):
        raise ValueError(f"fixed must be a dict of masks or values by field: got {kind(fixed)}")
    masks, values = {}, {}
    for name, held in (fixed or {}).items():
        if name not in fields:
            raise ValueError(f"fixed must name fields among {', '.join(fields)}: got {name!r}")
        if (field := fields[name]) is None:
            raise ValueError(f"fixed names {name}, and the model has none")
        if not isinstance(held, Tensor) or not (held.dtype == torch.bool or held.is_floating_point()):
            raise ValueError(
                f"fixed[{name!r}] must be a bool mask or a floating-point value: got {kind(held)}"
            )
        if held.shape != field.shape:
            raise ValueError(
                f"fixed[{name!r}] must have the shape {tuple(field.shape)} of {name}: got {tuple(held.shape)}"
            )
        if held.dtype == torch.bool:
            masks[name] = held.to(field.device)
        else:
            check_like(f"fixed[{name!r}]", held, name, field)
            values[name] = held
    return masks, values
