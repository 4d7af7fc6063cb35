"""Learnable vector fields y' = f(t, y): black boxes, bookkeepers, and polynomials as networks."""

from helpers.fields.conserved import conserved_quantities
from helpers.fields.controlled import ControlledField
from helpers.fields.inputs import Held, Interpolated
from helpers.fields.mlp import MLPField
from helpers.fields.quadratic import QuadraticField
from helpers.fields.stoichiometric import StoichiometricField

__all__ = [
    "ControlledField",
    "Held",
    "Interpolated",
    "MLPField",
    "QuadraticField",
    "StoichiometricField",
    "conserved_quantities",
]
