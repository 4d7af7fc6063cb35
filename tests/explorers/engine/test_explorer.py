"""An explorer runs its model only at the stops of its controls, and on one thread."""

import math
from unittest.mock import Mock

import pytest
import torch

from helpers.explorers import (
    Explorer,
    Slider,
    dose,
    extreme_settings,
    gain,
    gradients,
    kalman,
    missingness,
    neuron,
    toggle,
    valve,
)
from helpers.explorers.engine.explorer import ROOM_TO_GROW

DEFAULTS = {control.name: control.value for control in dose.CONTROLS}


@pytest.fixture
def calls(monkeypatch):
    """The settings and the number of threads of each run of a shown model, and its sliders by name."""
    widgets, seen, make = {}, [], Slider.widget
    monkeypatch.setattr(Slider, "widget", lambda slider: widgets.setdefault(slider.name, make(slider)))
    monkeypatch.setattr("helpers.explorers.engine.explorer.display", Mock())

    def model(**settings):
        seen.append((settings, torch.get_num_threads()))
        return dose.model(**settings)

    Explorer(model, dose.Picture, dose.CONTROLS).show()
    return seen, widgets


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_last_bit_of_a_position_on_the_page_moves_nothing(calls):
    seen, widgets = calls
    amount, sent_back = widgets["dose"], math.nextafter(4.0, math.inf)
    amount.value = sent_back
    assert [settings for settings, _ in seen] == [DEFAULTS]
    amount.value = 4.5
    amount.value = sent_back
    assert [settings for settings, _ in seen] == [DEFAULTS, DEFAULTS | {"dose": 4.5}, DEFAULTS]


def test_a_model_runs_on_one_thread_and_the_others_return(two_threads, calls):
    seen, _ = calls
    assert [threads for _, threads in seen] == [1]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    "explorer",
    [dose, missingness, kalman, gradients, neuron, gain, toggle, valve],
    ids=lambda module: module.__name__.rpartition(".")[2],
)
def test_no_corner_s_caption_is_longer_than_the_room_that_the_first_one_makes(explorer):
    picture = explorer.Picture()

    def letters(settings):
        return len(picture.describe(explorer.model(**settings)))

    at_start = letters({control.name: control.value for control in explorer.CONTROLS})
    assert max(map(letters, extreme_settings(explorer.CONTROLS))) <= ROOM_TO_GROW * at_start
