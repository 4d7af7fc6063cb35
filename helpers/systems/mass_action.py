"""Mass action: a network of chemical reactions, each as fast as its reactants meet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.arguments import check_floating, entry, refuse_where
from helpers.systems.reactions import Reaction, parse_reactions, species_of
from helpers.systems.state import check_variables, multiply_factors


@dataclass(frozen=True, eq=False)
class MassAction:
    """Reactions whose rates are products of the amounts that react.

    ::

        y' = S v(y)              v_r(y) = k_r ∏_d y_d ^ O_dr

    The stoichiometry S says what a reaction changes, products less reactants; the orders O count its
    reactants. A species on both sides, a catalyst, has its order but no entry in S. There are no factorials:
    `2 A -> B` runs at k A², and takes A at 2 k A².

    An enzyme at work is `MassAction(["E + S <-> ES", "ES -> E + P"], [1.0, 0.5, 0.3])`.

    Parameters
    ----------
    reactions : sequence of str
        Such as `E + S -> ES`, `2 A -> B`, `-> A` (inflow), `A ->` (decay) and, for both directions at
        once, `E + S <-> ES`, which counts as two reactions, the forward one first.
    constants : float, sequence of R floats, or Tensor (R,) or (B, R)
        k, the rate constants in the order of the reactions, or for each sample its own row; of a reaction
        with m reactants in amount¹⁻ᵐ / time. One number is shared by all reactions.

    Attributes
    ----------
    steps : tuple of R Reaction
        The irreversible reactions.
    species : tuple of D str
        In the order in which the reactions first name them: the variables of the state.
    reactants : Tensor (D, R)
        O, the orders.
    stoichiometry : Tensor (D, R)
        S. Constants, O and S have the dtype and device of the tensor of constants, float64 on the CPU if they
        were given as numbers. A state of another dtype or device has them copied to it at each call.

    Raises
    ------
    ValueError
        Naming the reaction and the part that cannot be read; or if the constants are not R finite numbers of
        at least 0.

    Source: Guldberg and Waage (1864), Studies concerning affinity; in this notation Feinberg (2019),
    Foundations of Chemical Reaction Network Theory.
    """

    reactions: Sequence[str]
    constants: float | Sequence[float] | Tensor
    steps: tuple[Reaction, ...] = field(init=False, repr=False)
    species: tuple[str, ...] = field(init=False)
    reactants: Tensor = field(init=False, repr=False)
    stoichiometry: Tensor = field(init=False, repr=False)
    _slots: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        steps = parse_reactions(self.reactions)
        constants = _rate_constants(self.constants, steps)
        species = species_of(steps)
        reactants = constants.new_tensor([[step.reactants[name] for step in steps] for name in species])
        products = constants.new_tensor([[step.products[name] for step in steps] for name in species])
        derived = {
            "constants": constants,
            "steps": steps,
            "species": species,
            "reactants": reactants,
            "stoichiometry": products - reactants,
            "_slots": _slots(steps, species, constants.device),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)  # a frozen dataclass computes its attributes once, here

    @property
    def variables(self) -> tuple[str, ...]:
        """The species."""
        return self.species

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """The rate of change S v(y) (B, D) of the amounts y (B, D), the same at all times t."""
        return self.rates(y) @ self.stoichiometry.to(y).mT

    def rates(self, y: Tensor) -> Tensor:
        """v(y), how often each reaction happens per unit of time, (B, R), at the amounts y (B, D)."""
        factors = self._factors(y)
        return self._constants_for(y) * multiply_factors(factors)

    def jacobian(self, t: float | Tensor, y: Tensor) -> Tensor:
        """S ∂v/∂y (B, D, D) at the amounts y (B, D), exact also where some are zero.

        By the product rule: each factor of a rate in turn gives way to 1, in the column of its species.
        """
        factors = self._factors(y).unsqueeze(-2)  # (B, R, 1, M)
        itself = torch.eye(factors.shape[-1], dtype=torch.bool, device=y.device)
        others = multiply_factors(
            torch.where(itself, 1.0, factors)
        )  # (B, R, M), products of all factors but one
        slopes = self._constants_for(y).unsqueeze(-1) * others
        columns = slopes.new_zeros(*slopes.shape[:-1], len(self.species) + 1)
        columns = columns.scatter_add(-1, self._slots.to(y.device).expand_as(slopes), slopes)
        return self.stoichiometry.to(y) @ columns[..., :-1]  # of ∂v/∂y (B, R, D)

    def _factors(self, y: Tensor) -> Tensor:
        """The amounts that a rate multiplies (B, R, M): one for each molecule, filled up with ones."""
        check_variables(y, self.species)
        slots = self._slots.to(y.device)
        return pad(y, (0, 1), value=1.0).index_select(-1, slots.flatten()).unflatten(-1, slots.shape)

    def _constants_for(self, y: Tensor) -> Tensor:
        """k (R,) or, for the samples of y, (B, ..., R)."""
        constants = self.constants.to(y)
        if constants.ndim == 1 or y.ndim == 1:
            return constants
        if len(constants) not in (1, len(y)):
            raise ValueError(
                f"constants must have one row for each of the {len(y)} samples: got {len(constants)} rows"
            )
        return constants.reshape(len(constants), *[1] * (y.ndim - 2), -1)


def _rate_constants(constants: float | Sequence[float] | Tensor, steps: tuple[Reaction, ...]) -> Tensor:
    """The constants as a tensor (R,) or (B, R); numbers in float64, so that no digit is lost."""
    if not isinstance(constants, Tensor):
        numbers = [constants] * len(steps) if isinstance(constants, Real) else constants
        _check_numbers(numbers)
        constants = torch.tensor(numbers, dtype=torch.float64)
    check_floating("constants", constants)
    constants = constants.expand(len(steps)) if constants.ndim == 0 else constants
    if constants.ndim > 2 or constants.shape[-1] != len(steps):
        raise ValueError(
            f"constants must have shape (R,) or (B, R) with R = {len(steps)}, one for each of "
            f"{', '.join(map(str, steps))}: got shape {tuple(constants.shape)}"
        )
    refuse_where(
        ~(constants.isfinite() & (constants >= 0)),
        lambda *place: (
            f"constants must be finite and not negative: "
            f"{entry('constants', constants, *place)}, of {steps[place[-1]]}"
        ),
    )
    return constants


def _check_numbers(numbers: Sequence[float]) -> None:
    if isinstance(numbers, str) or not (isinstance(numbers, Sequence) or hasattr(numbers, "__array__")):
        raise ValueError(
            f"constants must be a number, a list of numbers or one tensor: got {type(numbers).__name__}"
        )
    for place, number in enumerate(numbers):
        if not isinstance(number, Real):
            raise ValueError(
                f"constants must be a number, a list of numbers or one tensor: "
                f"constants[{place}] is a {type(number).__name__}"
            )


def _slots(steps: tuple[Reaction, ...], species: tuple[str, ...], device: torch.device) -> Tensor:
    """Which species each factor of a rate is (R, M): `2 A + B` is A, A, B; D stands for none."""
    molecules = [[species.index(name) for name in step.reactants.elements()] for step in steps]
    most = max(1, *map(len, molecules))
    return torch.tensor([row + [len(species)] * (most - len(row)) for row in molecules], device=device)
