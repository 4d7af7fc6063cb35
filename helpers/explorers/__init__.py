"""Sliders that move a model: the engine, and one module per explorer.

An explorer is a pure model, a picture built once, and labelled controls::

    from helpers.explorers import dose

    dose.explorer().show()
"""

from helpers.explorers.engine import Choice, Control, Explorer, Picture, Slider, extreme_settings

__all__ = ["Choice", "Control", "Explorer", "Picture", "Slider", "extreme_settings"]
