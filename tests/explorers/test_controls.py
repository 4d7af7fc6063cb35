import pytest

from helpers.explorers import Choice, Slider, extreme_settings

RATE = {"name": "growth_rate", "symbol": "r", "unit": "1/h", "meaning": "How fast it grows"}


def test_label_reads_as_words_symbol_and_unit():
    assert Slider(**RATE, low=0.0, high=1.0, value=0.5, step=0.25).label == "growth rate r [1/h]"


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
