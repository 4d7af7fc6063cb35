"""Where the toggle switch begins to remember."""

from torch import Tensor


def critical_alpha(n: float | Tensor) -> float | Tensor:
    """The α at which the one steady state of a toggle switch becomes two, for a Hill coefficient n > 1.

    Where u = v = s the eigenvalues are -1 ± n sⁿ / (1 + sⁿ). The larger one is zero, a pitchfork, at ::

        sⁿ = 1 / (n - 1)
        α  = s (1 + sⁿ) = n / (n - 1) · (n - 1)^(-1/n)        2 for n = 2

    Parameters
    ----------
    n : float, array or Tensor (...)
        Hill coefficient, above 1. With n = 1 there is one steady state at every α.

    Returns
    -------
    float, array or Tensor (...)
        The maximal rate of synthesis α of `ToggleSwitch`, as its `alpha`.
    """
    return n / (n - 1) * (n - 1) ** (-1 / n)
