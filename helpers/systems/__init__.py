"""Known dynamics y' = f(t, y): each system is its own f, and gives its Jacobian in closed form."""

from helpers.systems.lorenz import Lorenz
from helpers.systems.lotka_volterra import LotkaVolterra
from helpers.systems.mass_action import MassAction
from helpers.systems.one_compartment import OneCompartment
from helpers.systems.repressilator import Repressilator
from helpers.systems.state import multiply_factors
from helpers.systems.toggle_switch import ToggleSwitch, critical_alpha

__all__ = [
    "Lorenz",
    "LotkaVolterra",
    "MassAction",
    "OneCompartment",
    "Repressilator",
    "ToggleSwitch",
    "critical_alpha",
    "multiply_factors",
]
