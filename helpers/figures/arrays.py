"""Numbers from anywhere as NumPy arrays, which is what can be drawn and compared."""

import numpy as np


def as_array(value) -> np.ndarray:
    """Return any numbers as a NumPy array, from whatever device they lie on."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach().cpu().resolve_conj().resolve_neg()
    narrow = tensor.is_floating_point() and tensor.element_size() < 4  # bfloat16, which NumPy does not know
    return np.asarray(tensor.float() if narrow else tensor)
