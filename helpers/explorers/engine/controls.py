"""What a reader can change: sliders and choices, each with its words, symbol and unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

import ipywidgets
from traitlets import CFloat

_STYLE = {"description_width": "19em"}
_LAYOUT = {"width": "auto"}  # the style sheet of `hint` says how wide


class _QuietSlider(ipywidgets.FloatSlider):
    """A slider whose kernel does not send each value back to the page that it came from."""

    value = CFloat(0.0).tag(sync=True, echo_update=False)


@dataclass(frozen=True)
class Slider:
    """A number between two bounds.

    Parameters
    ----------
    name : str
        The model's argument that it sets; read aloud with its underscores as spaces.
    symbol, unit : str
        How the equations write it, and what it is measured in; empty for a plain number.
    low, high, value, step : float
        Its bounds, its default, and what one press of an arrow key adds.
    meaning : str
        One sentence, shown when the pointer rests on the control.

    Raises
    ------
    ValueError
        If the bounds are not ordered, or the default is not one of the slider's stops.
    """

    name: str
    symbol: str
    unit: str
    low: float
    high: float
    value: float
    step: float
    meaning: str

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low must be below high: got low = {self.low}, high = {self.high}")
        if not 0 < self.step <= self.high - self.low:
            raise ValueError(f"{self.name}: step must be above 0 and fit between the bounds: got {self.step}")
        for bound, position in (("value", self.value), ("high", self.high)):
            stops = (position - self.low) / self.step
            if not self.low <= position <= self.high or abs(stops - round(stops)) > 1e-6:
                raise ValueError(
                    f"{self.name}: {bound} must be one of the stops "
                    f"{self.low}, {self.low + self.step:.6g}, … {self.high}: got {position}"
                )

    @property
    def title(self) -> str:
        """Words and symbol: `absorption rate kₐ`."""
        return f"{self.name.replace('_', ' ')} {self.symbol}"

    @property
    def label(self) -> str:
        """The title, with the unit where there is one: `absorption rate kₐ [1/h]`."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    @property
    def extremes(self) -> tuple[float, ...]:
        """Both ends."""
        return self.low, self.high

    def setting(self, value: float) -> float:
        """The stop that a position on the page stands for, as the number that an author would write.

        The page places a slider by a percentage of its range, and sends back as 3.0000000000000004 what it
        was given as 3.0; so the stops are counted as decimals.
        """
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        return float(low + step * round((value - self.low) / self.step))

    def written(self, value: float) -> str:
        """A value with as many digits as its stops have."""
        return f"{value:.{_decimals(self.step)}f}"

    def widget(self) -> ipywidgets.FloatSlider:
        """The control on the page."""
        return _QuietSlider(
            value=self.value,
            min=self.low,
            max=self.high,
            step=self.step,
            readout_format=f".{_decimals(self.step)}f",
            description=self.label,
            tooltip=self.meaning,
            style=_STYLE,
            layout=_LAYOUT,
        )


@dataclass(frozen=True)
class Choice:
    """One of a few named possibilities.

    Parameters
    ----------
    name : str
        The model's argument that it sets; read aloud with its underscores as spaces.
    options : tuple of str
        What can be chosen.
    value : str
        The default.
    meaning : str
        One sentence, shown when the pointer rests on the control.

    Raises
    ------
    ValueError
        If the default is not among the options.
    """

    name: str
    options: tuple[str, ...]
    value: str
    meaning: str

    def __post_init__(self):
        if self.value not in self.options:
            raise ValueError(f"{self.name}: value must be one of {self.options}: got {self.value!r}")

    @property
    def label(self) -> str:
        """The name, as words."""
        return self.name.replace("_", " ")

    @property
    def extremes(self) -> tuple[str, ...]:
        """Every option."""
        return self.options

    def setting(self, value: str) -> str:
        """The option itself."""
        return value

    def widget(self) -> ipywidgets.Dropdown:
        """The control on the page."""
        return ipywidgets.Dropdown(
            options=self.options,
            value=self.value,
            description=self.label,
            tooltip=self.meaning,
            style=_STYLE,
            layout=_LAYOUT,
        )


def _decimals(step: float) -> int:
    return max(0, -Decimal(str(step)).normalize().as_tuple().exponent)


Control = Slider | Choice


def extreme_settings(controls: Sequence[Control]) -> list[dict[str, float | str]]:
    """Every combination of the controls' extremes: the corners in which a model must still make sense."""
    names = [control.name for control in controls]
    corners = product(*(control.extremes for control in controls))
    return [dict(zip(names, values, strict=True)) for values in corners]
