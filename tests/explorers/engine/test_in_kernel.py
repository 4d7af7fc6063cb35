"""Explorers in a real kernel, spoken to as a browser speaks to it."""

import base64
import math
import time

import pytest

from helpers.explorers import dose
from helpers.explorers.engine import BlittedFigure

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel", reason="no ipykernel: install the package's lab extra")

PATIENCE = 60
DEFAULTS = {control.name: control.value for control in dose.CONTROLS}


class Cell:
    """A kernel, and a cell in it that can run again and again."""

    def __init__(self, client):
        self._client = client

    def run(self, code, cell="cell-1"):
        """Run code as the content of a cell; return its messages."""
        content = {"code": code, "silent": False, "store_history": True}
        return self._send("execute_request", content, {"cellId": cell})

    def move(self, model, **state):
        """Tell a widget's model its new state, without waiting for an answer."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        message = self._client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self._client.shell_channel.send(message)

    def press(self, button):
        """Click a button."""
        data = {"method": "custom", "content": {"event": "click"}}
        self._client.shell_channel.send(
            self._client.session.msg("comm_msg", {"comm_id": button, "data": data})
        )

    def pictures(self, quiet=1.0):
        """The data of every updated picture, until none has come for a while; words follow each."""
        found, deadline = [], time.monotonic() + quiet
        while time.monotonic() < deadline:
            if not self._client.iopub_channel.msg_ready():
                time.sleep(0.01)
                continue
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "update_display_data":
                found.append(message["content"]["data"])
                deadline = time.monotonic() + quiet
        self.words = found[1::2]
        return found[::2]

    def _send(self, kind, content, metadata):
        message = self._client.session.msg(kind, content, metadata=metadata)
        self._client.shell_channel.send(message)
        heard = []
        while True:
            answer = self._client.get_iopub_msg(timeout=PATIENCE)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            heard.append(answer)
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return heard


@pytest.fixture(scope="module")
def cell():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    yield Cell(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def displays(messages):
    assert not [message["content"] for message in messages if message["msg_type"] == "error"]
    return [message["content"] for message in messages if message["msg_type"] == "display_data"]


def models(messages):
    """The comm of each widget, by the words that it shows."""
    opened = [message["content"] for message in messages if message["msg_type"] == "comm_open"]
    states = {content["comm_id"]: content["data"]["state"] for content in opened}
    return {state["description"]: comm for comm, state in states.items() if state.get("description")}


def expected_png(**settings):
    picture = dose.Picture()
    blitted = BlittedFigure(picture.figure, picture.moving)
    picture.draw(dose.model(**settings))
    return base64.b64encode(blitted.png()).decode()


def dose_shown(cell):
    return cell.run("from helpers.explorers import dose\ndose.explorer().show()")


def test_stored_output_shows_the_default_picture_and_names_the_controls(cell):
    controls, picture, words = displays(dose_shown(cell))
    assert "application/vnd.jupyter.widget-view+json" in controls["data"]
    for kind in ("text/plain", "text/html"):
        assert "absorption rate kₐ [1/h], elimination rate kₑ [1/h], dose D [mg/kg]" in controls["data"][kind]
        assert "Run this cell" in controls["data"][kind]
    assert picture["data"]["image/png"] == expected_png(**DEFAULTS)
    into, out = DEFAULTS["absorption_rate"], DEFAULTS["elimination_rate"]
    peak_hour = math.log(into / out) / (into - out)
    assert f"at {peak_hour:.1f} h" in picture["metadata"]["image/png"]["alt"]
    assert "text/html" not in picture["data"]  # stored once; the words stand below, for a screen reader, too
    assert f"at {peak_hour:.1f} h" in words["data"]["text/html"]


def test_forty_moves_at_once_are_not_queued_and_the_last_is_drawn(cell):
    slider = models(dose_shown(cell))["absorption rate kₐ [1/h]"]
    for count in range(40):
        cell.move(slider, value=0.1 + 0.05 * count)
    pictures = cell.pictures()
    assert 1 <= len(pictures) <= 20
    last = 0.1 + 0.05 * 39
    assert pictures[-1]["image/png"] == expected_png(**DEFAULTS | {"absorption_rate": last})
    assert pictures[-1]["text/plain"] == cell.words[-1]["text/plain"]


def test_reset_brings_the_defaults_back_in_one_picture(cell):
    found = models(dose_shown(cell))
    cell.move(found["absorption rate kₐ [1/h]"], value=0.5)
    cell.move(found["dose D [mg/kg]"], value=8.0)
    cell.pictures()
    cell.press(found["Reset"])
    (picture,) = cell.pictures()
    assert picture["image/png"] == expected_png(**DEFAULTS)


def test_running_the_cell_again_retires_its_first_explorer_and_no_other_cell_s(cell):
    first = models(dose_shown(cell))["dose D [mg/kg]"]
    elsewhere = models(cell.run("dose.explorer().show()", cell="cell-2"))["dose D [mg/kg]"]
    messages = dose_shown(cell)
    closed = [message["content"]["comm_id"] for message in messages if message["msg_type"] == "comm_close"]
    assert first in closed
    assert elsewhere not in closed
    cell.move(first, value=8.0)
    assert cell.pictures() == []
    cell.move(elsewhere, value=8.0)
    assert len(cell.pictures()) == 1


def test_a_retired_explorer_is_forgotten(cell):
    count = "import gc; gc.collect(); print(sum(isinstance(o, dose.Picture) for o in gc.get_objects()))"
    dose_shown(cell)
    before = printed(cell.run(count, cell="cell-3"))
    for _ in range(3):
        dose_shown(cell)
    assert printed(cell.run(count, cell="cell-3")) == before


def printed(messages):
    return "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


FRAGILE = """
from helpers.explorers import Explorer, Slider, dose

def model(rate):
    return dose.model(rate, 1 / (rate - 2), 1.0)

control = Slider("rate", "r", "1/h", 1.0, 3.0, value=3.0, step=0.5, meaning="Fails at 2")
Explorer(model, dose.Picture, (control,)).show()
"""


def test_a_failing_model_says_so_in_the_picture_s_place_and_recovers(cell):
    slider = models(cell.run(FRAGILE))["rate r [1/h]"]
    cell.move(slider, value=2.0)
    (failure,) = cell.pictures()
    assert "No picture at rate = 2.0: ZeroDivisionError" in failure["text/html"]
    assert "in model" in failure["text/plain"]
    assert "image/png" not in failure
    assert cell.words == [{"text/plain": ""}]
    cell.move(slider, value=3.0)
    (picture,) = cell.pictures()
    assert "image/png" in picture
