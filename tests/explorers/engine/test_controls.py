from decimal import Decimal

import pytest

from helpers.explorers import (
    Choice,
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

RATE = {"name": "growth_rate", "symbol": "r", "unit": "1/h", "meaning": "How fast it grows"}


def test_label_reads_as_words_symbol_and_unit():
    assert Slider(**RATE, low=0.0, high=1.0, value=0.5, step=0.25).label == "growth rate r [1/h]"


def test_a_plain_number_has_no_unit_in_its_label():
    slider = Slider(**RATE | {"unit": ""}, low=0.0, high=1.0, value=0.5, step=0.25)
    assert slider.label == slider.title == "growth rate r"


@pytest.mark.parametrize(("step", "text"), [(0.25, "0.50"), (0.5, "0.5")], ids=["two digits", "one digit"])
def test_a_value_is_written_with_the_digits_of_its_stops(step, text):
    assert Slider(**RATE, low=0.0, high=1.0, value=0.5, step=step).written(0.5) == text


def test_widget_carries_label_meaning_bounds_and_enough_digits():
    widget = Slider(**RATE, low=0.0, high=1.0, value=0.5, step=0.25).widget()
    assert (widget.description, widget.tooltip) == ("growth rate r [1/h]", "How fast it grows")
    assert (widget.min, widget.max, widget.value, widget.step) == (0.0, 1.0, 0.5, 0.25)
    assert widget.readout_format == ".2f"
    widget.close()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1.0, 1.0, 1.0, 0.1), r"growth_rate: low must be below high: got low = 1\.0, high = 1\.0"),
        ((0.0, 1.0, 0.5, 0.0), r"growth_rate: step must be above 0 and fit between the bounds: got 0\.0"),
        ((0.0, 1.0, 0.5, 2.0), r"growth_rate: step must be above 0 and fit between the bounds: got 2\.0"),
        ((0.0, 1.0, 2.0, 0.5), r"growth_rate: value must be one of the stops 0\.0, 0\.5, … 1\.0: got 2\.0"),
        ((0.0, 1.0, 0.3, 0.5), r"growth_rate: value must be one of the stops 0\.0, 0\.5, … 1\.0: got 0\.3"),
        ((0.0, 1.2, 0.5, 0.5), r"growth_rate: high must be one of the stops 0\.0, 0\.5, … 1\.2: got 1\.2"),
    ],
    ids=[
        "no range",
        "no step",
        "step too long",
        "value outside",
        "value between stops",
        "high between stops",
    ],
)
def test_slider_refuses(numbers, message):
    low, high, value, step = numbers
    with pytest.raises(ValueError, match=message):
        Slider(**RATE, low=low, high=high, value=value, step=step)


def test_choice_refuses_a_default_that_is_not_offered():
    with pytest.raises(ValueError, match=r"cell: value must be one of \('GRU', 'LSTM'\): got 'RNN'"):
        Choice("cell", ("GRU", "LSTM"), "RNN", "Which cell")


def test_extremes_are_every_corner():
    controls = (
        Slider(**RATE, low=0.0, high=1.0, value=0.5, step=0.25),
        Choice("cell", ("GRU", "LSTM", "RNN"), "GRU", "Which cell"),
    )
    corners = extreme_settings(controls)
    assert len(corners) == 6
    assert {(corner["growth_rate"], corner["cell"]) for corner in corners} == {
        (rate, cell) for rate in (0.0, 1.0) for cell in ("GRU", "LSTM", "RNN")
    }


SLIDERS = [
    pytest.param(control, id=f"{explorer.__name__.rpartition('.')[2]}-{control.name}")
    for explorer in (dose, missingness, kalman, gradients, neuron, gain, toggle, valve)
    for control in explorer.CONTROLS
    if isinstance(control, Slider)
]


@pytest.mark.parametrize("slider", SLIDERS)
def test_a_position_in_per_cent_of_the_range_stands_for_the_stop_that_it_came_from(slider):
    span = slider.high - slider.low
    low, high, step = (Decimal(str(number)) for number in (slider.low, slider.high, slider.step))
    stops = [float(low + count * step) for count in range(int((high - low) / step) + 1)]
    assert {slider.low, slider.value, slider.high} <= set(stops)
    for stop in stops:
        percentage = (stop - slider.low) * 100 / span
        assert slider.setting(percentage * span / 100 + slider.low) == stop


def test_a_choice_stands_for_itself():
    choice = Choice("cell", ("GRU", "LSTM"), "GRU", "Which cell")
    assert [choice.setting(option) for option in choice.options] == ["GRU", "LSTM"]
