"""A real JupyterLab, and a page of it in a real Chromium."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A page that reaches for nothing but the server it is given."""

LAB_FLAGS = ["--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.port_retries=0"]

BOOK = Path(__file__).parents[2]
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
"""Beside the book's own: every cell stays on the page, also those out of view."""

PATIENCE = 90_000
"""Milliseconds that a kernel may take to start, or to finish a chapter."""

READY = """notebook => {
    const open = window.jupyterapp?.shell.currentWidget;
    const context = open?.sessionContext;
    return open?.context?.path === notebook && context.isReady && context.session.kernel.status === 'idle';
}"""
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
STORED = "() => jupyterapp.shell.currentWidget.content.model.toJSON()"


def chromium() -> str | None:
    """The path of a Chromium on this machine, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


WATCH = """cell => {
    if (cell.dataset.watched) return;
    cell.dataset.watched = true;
    const seen = new WeakSet(cell.querySelectorAll('img'));
    Object.assign(window, {pictures: [], lastKey: performance.now(), lastMove: performance.now()});
    const look = () => cell.querySelectorAll('.jp-OutputArea-output img').forEach(image => {
        if (seen.has(image)) return;
        seen.add(image);
        window.lastMove = performance.now();
        image.decode().then(() => window.pictures.push(performance.now()), () => {});
    });
    new MutationObserver(look).observe(cell, {subtree: true, childList: true, attributes: true});
    const note = () => { window.lastKey = window.lastMove = performance.now(); };
    cell.addEventListener('keydown', note, true);
    cell.addEventListener('click', note, true);
}"""
"""Notes when a key or a click reaches the cell, and when each new picture in it has been decoded."""

STOOD_STILL = "milliseconds => performance.now() - window.lastMove > milliseconds"


@contextmanager
def running_lab(notebooks: Path, workplace: Path) -> Iterator[str]:
    """The address of each ``{notebook}`` in a JupyterLab that serves a folder, while in use.

    It starts as `make lab` does, but with its own home, settings and token in ``workplace``, and its log is
    ``workplace/lab.log``.
    """
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *LAB_FLAGS,
        f"--port={port}",
        f"--notebook-dir={notebooks}",
    ]
    with (workplace / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [*command, f"--IdentityProvider.token={token}"],
            env=_isolated_environment(workplace),
            cwd=notebooks,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}/api/status?token={token}", server, workplace)
            yield f"http://127.0.0.1:{port}/lab/tree/{{notebook}}?reset&token={token}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def front_door(address: str) -> str:
    """The address that `make lab` opens, of a Lab with this address of notebooks."""
    return address.replace("lab/tree/{notebook}?reset&", "?")


@contextmanager
def open_page() -> Iterator[Page]:
    """An empty page of a headless Chromium, while in use."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 800})
        finally:
            browser.close()


def run_notebook(page: Page, address: str, notebook: str) -> None:
    """Open a notebook of a running Lab, and run all its cells."""
    page.goto(address.format(notebook=notebook))
    page.wait_for_function(READY, arg=notebook, timeout=PATIENCE)
    page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.evaluate(RUN_ALL)
    page.wait_for_function(READY, arg=notebook, timeout=PATIENCE)


def code_cells(page: Page) -> list[dict]:
    """The code cells of the open notebook, as they would be stored."""
    return [cell for cell in page.evaluate(STORED)["cells"] if cell["cell_type"] == "code"]


class ShownExplorer:
    """An explorer on the page, and one of its sliders.

    Parameters
    ----------
    page : Page
        A page with the notebook open and run.
    label : str
        The words with which the slider's label begins.
    """

    def __init__(self, page: Page, label: str):
        self.cell = page.locator(".jp-CodeCell", has=page.locator(".widget-slider", has_text=label)).last
        self.slider = self.cell.locator(".widget-slider", has_text=label)
        self.image = self.cell.locator(".jp-OutputArea-output img:not([hidden])")
        self.controls = self.cell.locator(".living-dynamics-controls")
        self.handle = self.slider.locator("[role=slider]")
        self._page = page
        self.slider.wait_for(timeout=10_000)
        self.cell.scroll_into_view_if_needed()
        self.cell.evaluate(WATCH)

    def press(self, key: str, times: int = 1, seconds_apart: float = 0.0) -> None:
        """Press a key on the slider, again and again."""
        self.handle.focus()
        start = time.perf_counter()
        for count in range(1, times + 1):
            self._page.keyboard.press(key)
            time.sleep(max(0.0, start + count * seconds_apart - time.perf_counter()))

    def reset(self) -> None:
        """Press the button that brings the defaults back."""
        self.cell.get_by_role("button", name="Reset").click()

    def readout(self) -> str:
        """The slider's value as the page shows it."""
        return self.slider.locator(".widget-readout").inner_text()

    def type(self, number: str) -> None:
        """Type a number over the one beside the slider."""
        self.slider.locator(".widget-readout").click()
        self._page.keyboard.press("Control+a")
        self._page.keyboard.type(number)
        self._page.keyboard.press("Enter")

    def height(self) -> float:
        """How much of the page the explorer's cell takes, in CSS pixels."""
        return self.cell.bounding_box()["height"]

    def settled_picture(self, seconds: float = 0.5) -> str:
        """The picture's source, once no new one has come for a while."""
        self._page.wait_for_function(STOOD_STILL, arg=1000 * seconds)
        return self.image.get_attribute("src")

    def pictures(self) -> list[float]:
        """When each new picture since the last call could be seen, in milliseconds of the page's clock."""
        return self._page.evaluate("window.pictures.splice(0)")

    def next_picture(self) -> float:
        """When the first new picture could be seen, waiting for it if need be."""
        self._page.wait_for_function("() => window.pictures.length > 0", polling=10)
        return self.pictures()[0]

    def time_of_key(self) -> float:
        """When the last key reached the page."""
        return self._page.evaluate("window.lastKey")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _isolated_environment(workplace: Path) -> dict[str, str]:
    settings = workplace / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    folders = {
        "HOME": "home",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "user-settings",
        "IPYTHONDIR": "ipython",
    }
    own = {name: str(workplace / folder) for name, folder in folders.items()}
    return os.environ | own | {"JUPYTER_CONFIG_PATH": str(BOOK / ".jupyter"), "PYTHONPATH": str(BOOK)}


def _wait_until_it_answers(
    address: str, server: subprocess.Popen, workplace: Path, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{(workplace / 'lab.log').read_text()[-2000:]}")
