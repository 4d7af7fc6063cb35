"""Known dynamics y' = f(t, y): each system is its own f, and gives its Jacobian in closed form."""

from helpers.systems.lorenz import Lorenz
from helpers.systems.toggle_switch import ToggleSwitch

__all__ = ["Lorenz", "ToggleSwitch"]
