"""What stands below an explorer's controls, and carries what the page does for them: names, keys, places."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

import ipywidgets

from helpers.explorers.engine.controls import Control, Slider

CONTROLS_CLASS = "living-dynamics-controls"
_HERE = Path(__file__).parent
_STYLE = (_HERE / "controls.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "controls.js").read_text(encoding="utf-8")


def hint(controls: Sequence[Control]) -> ipywidgets.HTML:
    """How the controls are used, in words, with the style and the script that the page applies to them.

    ipywidgets has no accessible name for a slider, rounds the value that it tells a screen reader, and leaves
    keys to the notebook. The script mends that in every view of the controls. It comes with them as the
    handler of an image that fails to load, for a widget's HTML runs no script element; where no kernel shows
    the controls, nothing of it is on the page.
    """
    ranges = {control.label: _range(control) for control in controls if isinstance(control, Slider)}
    handler = f"{_SCRIPT.strip()}(this, {json.dumps(ranges)})"
    words = "Drag, or use the arrow keys; a dotted number can be typed over." if ranges else ""
    return ipywidgets.HTML(
        f'<style>{_STYLE}</style><img hidden alt="" src="data:," onerror="{html.escape(handler)}">'
        f'<p class="living-dynamics-hint">{words}</p>'
    )


def _range(slider: Slider) -> dict[str, str]:
    """A slider's name, unit and ends, as they are read aloud."""
    low, high = slider.written(slider.low), slider.written(slider.high)
    return {"name": slider.title, "unit": slider.unit, "low": low, "high": high}
