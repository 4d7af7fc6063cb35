"""Sliders that move a model: the engine, and one module per explorer.

An explorer is a pure model, a picture built once, and labelled controls::

    from helpers.explorers import dose

    dose.explorer().show()
"""

from helpers.explorers.controls import Choice, Control, Slider, extreme_settings
from helpers.explorers.explorer import Explorer, Picture

__all__ = ["Choice", "Control", "Explorer", "Picture", "Slider", "extreme_settings"]
