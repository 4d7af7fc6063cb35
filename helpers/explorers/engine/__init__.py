"""What every explorer shares: controls that hold settings, a picture that redraws what moves, and the page.

- `controls`: what a reader can change, `Slider` and `Choice`.
- `picture`: `Picture`, what an explorer draws, and `BlittedFigure`, its quick way to a PNG.
- `explorer`: `Explorer`, which shows both on a page.
- `kernel`: what it asks of the kernel: only the newest setting, one thread, an end with its cell.
"""

from helpers.explorers.engine.controls import Choice, Control, Slider, extreme_settings
from helpers.explorers.engine.explorer import Explorer
from helpers.explorers.engine.picture import BlittedFigure, Picture

__all__ = ["BlittedFigure", "Choice", "Control", "Explorer", "Picture", "Slider", "extreme_settings"]
