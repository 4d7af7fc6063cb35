"""The engine behind every slider: a model, a picture of its result, and the controls of its parameters."""

import html
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
from IPython.display import display

from helpers.explorers.engine.controls import Control
from helpers.explorers.engine.kernel import LatestWins, close_with_cell, one_thread
from helpers.explorers.engine.picture import BlittedFigure, Picture
from helpers.figures import image_bundle

Settings = Mapping[str, float | str]


@dataclass(frozen=True)
class Explorer:
    """A model that a reader can turn.

    Parameters
    ----------
    model : callable
        Parameters, by keyword, to a result. Pure: the same parameters give the same result.
    picture : callable
        Builds a `Picture`.
    controls : tuple of Control
        One for each parameter of the model.
    """

    model: Callable[..., Any]
    picture: Callable[[], Picture]
    controls: tuple[Control, ...]

    def show(self) -> None:
        """Display the controls and, below them, the picture of their values, from now on.

        The picture is an ordinary output of the cell, so a stored notebook shows it without a kernel. A new
        run of the cell retires what its last run displayed.
        """
        close_with_cell(_Page(self).close)


class _Page:
    """One explorer on one page."""

    def __init__(self, explorer: Explorer):
        self._model = explorer.model
        self._picture = explorer.picture()
        self._blitted = BlittedFigure(self._picture.figure, self._picture.moving)
        self._controls = explorer.controls
        self._widgets = {control.name: control.widget() for control in self._controls}
        self._defaults = self._drawn = self._settings()
        self._drawing = threading.Lock()
        (data, metadata), words = self._bundles(self._defaults)
        self._panel = self._display_controls()
        self._image = display(data, metadata=metadata, raw=True, display_id=True)
        self._words = display(words, raw=True, display_id=True)
        redraw = LatestWins(self._redraw)
        for widget in self._widgets.values():
            widget.observe(lambda _: redraw.request(), "value")

    def close(self) -> None:
        """Withdraw the controls from the page and forget them."""
        for widget in (*self._panel.children, self._panel):
            widget.unobserve_all()
            for part in (getattr(widget, "style", None), widget.layout, widget):
                if part is not None:
                    part.close()

    def _display_controls(self) -> ipywidgets.VBox:
        reset = ipywidgets.Button(description="Reset", tooltip="Back to the values at the start", icon="undo")
        reset.on_click(lambda _: self._reset())
        panel = ipywidgets.VBox([*self._widgets.values(), reset])
        bundle = panel._repr_mimebundle_() | _without_kernel(self._controls)
        display(bundle, raw=True)
        return panel

    def _settings(self) -> Settings:
        return {
            control.name: control.setting(self._widgets[control.name].value) for control in self._controls
        }

    def _reset(self) -> None:
        for name, value in self._defaults.items():
            self._widgets[name].value = value

    def _bundles(self, settings: Settings) -> tuple[tuple[dict, dict], dict]:
        """The picture and, in an output of their own, the words below it, which a screen reader reads."""
        with one_thread():
            result = self._model(**settings)
        self._picture.draw(result)
        words = self._picture.describe(result)
        caption = {"text/plain": words, "text/html": f"<p>{html.escape(words)}</p>"}
        return image_bundle(self._blitted.png(), words, self._blitted.width), caption

    def _redraw(self) -> None:
        with self._drawing:
            settings = self._settings()
            if settings == self._drawn:
                return
            self._drawn = settings
            try:
                (data, metadata), words = self._bundles(settings)
            except Exception as error:
                data, metadata, words = _failure(settings, error), {}, {"text/plain": ""}
            self._image.update(data, metadata=metadata, raw=True)
            self._words.update(words, raw=True)


def _without_kernel(controls: tuple[Control, ...]) -> dict[str, str]:
    """What stands in the controls' place where no kernel runs."""
    words = f"Controls: {', '.join(control.label for control in controls)}. Run this cell to move them."
    return {"text/plain": words, "text/html": f"<p><em>{html.escape(words)}</em></p>"}


def _failure(settings: Settings, error: Exception) -> dict[str, str]:
    """What stands in the picture's place where the model or its picture fails."""
    where = ", ".join(f"{name} = {value}" for name, value in settings.items())
    what = f"No picture at {where}: {type(error).__name__}: {error}"
    steps = "".join(traceback.format_exception(error))
    shown = f'<p role="alert"><strong>{html.escape(what)}</strong></p><pre>{html.escape(steps)}</pre>'
    return {"text/plain": f"{what}\n\n{steps}", "text/html": shown}
