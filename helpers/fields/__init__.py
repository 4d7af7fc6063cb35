"""Learnable vector fields y' = f(t, y): black boxes, bookkeepers, and polynomials as networks."""

from helpers.fields.conserved import conserved_quantities
from helpers.fields.controlled import ControlledField, LinearInterpolation, ZeroOrderHold
from helpers.fields.mlp import MLPField
from helpers.fields.quadratic import QuadraticField
from helpers.fields.stoichiometric import StoichiometricField

__all__ = [
    "ControlledField",
    "LinearInterpolation",
    "MLPField",
    "QuadraticField",
    "StoichiometricField",
    "ZeroOrderHold",
    "conserved_quantities",
]
