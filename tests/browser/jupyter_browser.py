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

SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}
"""Every cell stays on the page, also those out of view; nothing asks for news."""

KERNEL_IS_IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
STORED = "() => jupyterapp.shell.currentWidget.content.model.toJSON()"


def chromium() -> str | None:
    """The path of a Chromium on this machine, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def running_lab(notebooks: Path, workplace: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves a folder, with its own home, settings and token, while in use.

    Its log is ``workplace/lab.log``.
    """
    port, token = _free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", *LAB_FLAGS, f"--port={port}", f"--notebook-dir={notebooks}"]
    with (workplace / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [*command, f"--IdentityProvider.token={token}"],
            env=_isolated_environment(workplace),
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}/api/status?token={token}", server, workplace)
            yield f"http://127.0.0.1:{port}/lab/tree/{{notebook}}?token={token}"
        finally:
            server.terminate()
            server.wait(timeout=20)


@contextmanager
def open_page() -> Iterator[Page]:
    """An empty page of a headless Chromium, while in use."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 1400})
        finally:
            browser.close()


def run_notebook(page: Page, address: str) -> list[dict]:
    """Open a notebook, run all its cells, and return its code cells as they would be stored."""
    page.goto(address)
    page.wait_for_function(KERNEL_IS_IDLE, timeout=60_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function(KERNEL_IS_IDLE)
    return [cell for cell in page.evaluate(STORED)["cells"] if cell["cell_type"] == "code"]


class Shown:
    """An explorer on the page: one slider of it, and its picture."""

    def __init__(self, page: Page, words: str):
        """Find the explorer by the words with which a label of its sliders begins."""
        self._cell = page.locator(".jp-CodeCell", has=page.locator(".widget-slider", has_text=words)).last
        slider = self._cell.locator(".widget-slider", has_text=words)
        self.handle = slider.locator("[role=slider]")
        self.value = slider.locator(".widget-readout")
        self.reset = self._cell.get_by_role("button", name="Reset")
        self.image = self._cell.locator("img")

    def picture(self) -> str:
        """The bytes of the picture, as the page holds them."""
        return self.image.get_attribute("src")

    def press(self, key: str, times: int = 1) -> None:
        """Press a key on the slider, as fast as the browser takes it."""
        self.handle.focus()
        for _ in range(times):
            self.handle.press(key)

    def settled_picture(self, page: Page) -> str:
        """The picture once it has stood still for half a second."""
        page.evaluate(STAND_STILL, self.image.element_handle())
        return self.picture()


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
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTERLAB_SETTINGS_DIR": "user-settings",
        "IPYTHONDIR": "ipython",
    }
    return os.environ | {name: str(workplace / folder) for name, folder in folders.items()}


def _wait_until_it_answers(address: str, server: subprocess.Popen, workplace: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{(workplace / 'lab.log').read_text()[-2000:]}")
