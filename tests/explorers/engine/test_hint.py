"""What stands below the controls: words for the reader, names and exact ends for a screen reader."""

import json
import re
from html.parser import HTMLParser

from helpers.explorers import Choice, Slider
from helpers.explorers.engine.hint import hint

RATE = Slider("decay_rate", "γ", "1/h", -1.0, 1.0, value=0.5, step=0.25, meaning="How fast it's gone")
SHARE = Slider("share", "p", "", 0.0, 1.0, value=0.5, step=0.5, meaning="A plain number")
CELL = Choice("cell", ("GRU", "LSTM"), "GRU", "Which cell")


class Handlers(HTMLParser):
    """Gathers the handlers of a page's images."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append(dict(attributes)["onerror"])


def test_each_slider_s_name_unit_and_ends_reach_the_page_exactly():
    (handler,) = Handlers(hint([RATE, CELL, SHARE]).value).found
    ranges = json.loads(re.search(r"\(this, (\{.+\})\)$", handler)[1])
    assert ranges == {
        "decay rate γ [1/h]": {"name": "decay rate γ", "unit": "1/h", "low": "-1.00", "high": "1.00"},
        "share p": {"name": "share p", "unit": "", "low": "0.0", "high": "1.0"},
    }


def test_numbers_can_be_typed_where_there_are_numbers():
    assert "typed over" in hint([RATE, CELL]).value.rpartition("<p")[2]
    assert "typed over" not in hint([CELL]).value.rpartition("<p")[2]
