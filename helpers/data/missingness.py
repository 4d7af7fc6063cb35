"""Ways for data to go missing, with the truth kept beside what is left of it.

A mechanism turns numbers into probabilities of being observed. What it looks at decides what the analyst
is up against (Rubin 1976):

- `mcar`, completely at random: it looks at nothing.
- `mar`, at random: it looks at a covariate that is always observed.
- `mnar`, not at random: it looks at the very values that it hides.
"""

from dataclasses import dataclass, fields
from numbers import Real

import torch
from torch import Tensor

from helpers.arguments import (
    check_entries,
    check_finite,
    check_finite_number,
    check_floating,
    check_generator,
    check_real,
    check_tensor,
    is_finite_number,
    kind,
)


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Complete data, and which part of them was observed.

    Attributes
    ----------
    values : Tensor (...)
        The truth, complete.
    mask : Tensor (...), bool
        True where the value was observed.
    probability : Tensor (...)
        Probability with which the mechanism lets each value be observed.
    """

    values: Tensor
    mask: Tensor
    probability: Tensor

    def hidden_as_nan(self) -> Tensor:
        """Return what an analyst sees: the observed values, and NaN for the others."""
        return torch.where(self.mask, self.values, torch.nan)


@dataclass(frozen=True, eq=False)
class DetectionLimit:
    """An instrument that reports nothing below its limit.

    ::

        P(m = 1 | x) = 1 if x ≥ limit, else 0

    Parameters
    ----------
    limit : float or Tensor (...), broadcasts with the values
        In the unit of the values.
    """

    limit: float | Tensor

    def __post_init__(self) -> None:
        _check_parameter("limit", self.limit)

    def probability(self, values: Tensor) -> Tensor:
        """Return the probability of being observed, in the shape of `values`."""
        _check_parameters_fit(self, values)
        return (values >= self.limit).to(values.dtype)

    def draw_shape(self, shape: torch.Size) -> torch.Size:
        """One draw for every value."""
        return shape


@dataclass(frozen=True, eq=False)
class Logistic:
    """The higher the value, the likelier it is observed; with a negative slope, the less likely.

    ::

        P(m = 1 | x) = 1 / (1 + exp(-slope · (x - midpoint)))

    Parameters
    ----------
    midpoint : float or Tensor (...), broadcasts with the values
        Where half is observed, in the unit of the values.
    slope : float or Tensor (...), broadcasts with the values
        Steepness, in 1 / unit.
    """

    midpoint: float | Tensor
    slope: float | Tensor

    def __post_init__(self) -> None:
        _check_parameter("midpoint", self.midpoint)
        _check_parameter("slope", self.slope)

    def probability(self, values: Tensor) -> Tensor:
        """Return the probability of being observed, in the shape of `values`."""
        _check_parameters_fit(self, values)
        return torch.sigmoid(self.slope * (values - self.midpoint))

    def draw_shape(self, shape: torch.Size) -> torch.Size:
        """One draw for every value."""
        return shape


@dataclass(frozen=True, eq=False)
class DropOut:
    """The sickest leave, and who has left stays away.

    At each step a series leaves with hazard h, before its value is recorded::

        h(x) = hazard / (1 + exp(-slope · (x - threshold)))
        P(m[k] = 1 | x) = Π_{j ≤ k} (1 - h(x[j]))

    Leaving depends on x[k], which nobody then sees: on past values alone it would be missing at random.
    Each series draws once, so features with the same hazards leave together.

    Parameters
    ----------
    threshold : float or Tensor (...), broadcasts with the values
        Where the hazard is half its maximum, in the unit of the values.
    slope : float or Tensor (...), broadcasts with the values
        Steepness, in 1 / unit.
    hazard : float
        Largest probability of leaving at one step, 0 to 1.

    Source: Diggle & Kenward (1994), Informative drop-out in longitudinal data analysis, Applied
    Statistics 43:49-93.
    """

    threshold: float | Tensor
    slope: float | Tensor
    hazard: float = 1.0

    def __post_init__(self) -> None:
        _check_parameter("threshold", self.threshold)
        _check_parameter("slope", self.slope)
        _check_fraction("hazard", self.hazard)

    def probability(self, values: Tensor) -> Tensor:
        """Return the probability of being observed, (B, T) or (B, T, D) as `values`."""
        if values.ndim not in (2, 3):
            raise ValueError(f"values must have shape (B, T) or (B, T, D): got {tuple(values.shape)}")
        _check_parameters_fit(self, values)
        hazard = self.hazard * torch.sigmoid(self.slope * (values - self.threshold))
        return (1 - hazard).cumprod(dim=1)

    def draw_shape(self, shape: torch.Size) -> torch.Size:
        """One draw for every series."""
        return torch.Size([shape[0], *(1 for _ in shape[1:])])


def mcar(values: Tensor, rate: float, *, generator: torch.Generator) -> Incomplete:
    """Hide a fraction of the values, completely at random.

    ::

        P(m = 1) = 1 - rate

    Parameters
    ----------
    values : Tensor (...)
        The truth, of any shape.
    rate : float
        Fraction missing, 0 to 1.
    generator : torch.Generator
        On the device of `values`.

    Raises
    ------
    ValueError
        If `values` are not finite floating-point numbers, or `rate` is not in [0, 1].
    """
    _check_values("values", values)
    _check_fraction("rate", rate)
    return _observe(values, torch.full_like(values, 1 - rate), values.shape, generator)


def mar(
    values: Tensor,
    driver: Tensor,
    mechanism: DetectionLimit | Logistic | DropOut,
    *,
    generator: torch.Generator,
) -> Incomplete:
    """Hide values at random given a `driver` that is always observed.

    ::

        P(m = 1 | x, driver) = mechanism(driver)

    Parameters
    ----------
    values : Tensor (...)
        The truth, of any shape that the mechanism takes.
    driver : Tensor (...), broadcasts to `values`
        For example age, (B, 1, 1).
    mechanism : DetectionLimit, Logistic or DropOut
        In the unit of the driver.
    generator : torch.Generator
        On the device of `values`.

    Raises
    ------
    ValueError
        If `values` or `driver` are not finite floating-point numbers, or do not fit each other.
    """
    _check_values("values", values)
    _check_values("driver", driver)
    if not isinstance(mechanism, DetectionLimit | Logistic | DropOut):
        raise ValueError(f"mechanism must be a DetectionLimit, Logistic or DropOut: got {kind(mechanism)}")
    probability = mechanism.probability(_expand("driver", driver, values))
    return _observe(values, probability, mechanism.draw_shape(values.shape), generator)


def mnar(
    values: Tensor, mechanism: DetectionLimit | Logistic | DropOut, *, generator: torch.Generator
) -> Incomplete:
    """Hide values not at random: because of what they are.

    ::

        P(m = 1 | x) = mechanism(x)

    Parameters
    ----------
    values : Tensor (...)
        The truth, of any shape that the mechanism takes.
    mechanism : DetectionLimit, Logistic or DropOut
        In the unit of the values.
    generator : torch.Generator
        On the device of `values`.

    Raises
    ------
    ValueError
        If `values` are not finite floating-point numbers.
    """
    return mar(values, values, mechanism, generator=generator)


def _observe(
    values: Tensor, probability: Tensor, draw_shape: torch.Size, generator: torch.Generator
) -> Incomplete:
    check_generator("generator", generator)
    check_entries(
        "probability",
        probability,
        (probability >= 0) & (probability <= 1),
        "lie between 0 and 1 (slope · (value - midpoint) overflows where it is NaN)",
    )
    draws = torch.rand(draw_shape, generator=generator, dtype=values.dtype, device=values.device)
    return Incomplete(values, draws < probability, probability)


def _expand(name: str, tensor: Tensor, values: Tensor) -> Tensor:
    try:
        return tensor.expand_as(values)
    except RuntimeError:
        raise ValueError(
            f"{name} must broadcast to {tuple(values.shape)}, the shape of values: got {tuple(tensor.shape)}"
        ) from None


def _check_values(name: str, values: Tensor) -> None:
    check_floating(name, values)
    check_finite(name, values)


def _check_parameter(name: str, parameter: float | Tensor) -> None:
    if isinstance(parameter, Real):
        check_finite_number(name, parameter)
    else:
        check_tensor(name, parameter, "be one number or a tensor")
        check_real(name, parameter)
        check_finite(name, parameter)


def _check_parameters_fit(mechanism: object, values: Tensor) -> None:
    """Refuse a parameter that would have to stretch the values to its own shape."""
    for field in fields(mechanism):
        parameter = getattr(mechanism, field.name)
        if isinstance(parameter, Tensor):
            _expand(field.name, parameter, values)


def _check_fraction(name: str, fraction: float) -> None:
    if not (is_finite_number(fraction) and 0 <= fraction <= 1):
        raise ValueError(f"{name} must lie between 0 and 1: got {fraction!r}")
