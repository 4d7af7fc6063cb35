"""What an explorer asks of its kernel: the newest setting only, one thread, and an end with its cell."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from IPython import get_ipython

PAUSE = 0.004
"""Seconds that a redraw waits for moves that have arrived but not been read: a kernel reads several in it."""

REST = 0.020
"""Seconds without a redraw after which a move counts as the first of a new series, and does not wait."""


class LatestWins:
    """Serves a lone request at once, and once for all requests that come in quick succession.

    A kernel receives a slider's moves one by one. A redraw per move would fall behind a fast hand, and replay
    it long after it has stopped. Here a move only asks for a redraw; one that follows closely on another lets
    the moves pass that have already arrived, and each reads the newest values.

    Parameters
    ----------
    serve : callable
        Reads what is wanted at the moment it is called. Without a running event loop it is called at once.
    """

    def __init__(self, serve: Callable[[], None]):
        self._serve = serve
        self._waiting = False
        self._served = -math.inf

    def request(self) -> None:
        """Ask to be served; a request that already waits stands for this one too."""
        if self._waiting:
            return
        loop = _running_loop()
        if loop is None:
            self._take_turn()
            return
        self._waiting = True
        alone = time.monotonic() - self._served > REST
        loop.call_later(0.0 if alone else PAUSE, self._take_turn)

    def _take_turn(self) -> None:
        self._waiting = False
        self._serve()
        self._served = time.monotonic()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread, and afterwards as many as before.

    A model that follows a slider is many small operations, in which several threads mostly wait for each
    other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_closers_of_cell: dict[str, tuple[str, list[Callable[[], None]]]] = {}
"""For each cell, its latest run and what that run left alive."""


def close_with_cell(close: Callable[[], None]) -> None:
    """Have `close` called when the running cell runs again.

    Jupyter sends each request to run a cell with the cell's identity. Where none is sent, in a script or a
    terminal, nothing is kept and nothing is closed.
    """
    cell, run = _running_cell()
    if cell is None:
        return
    last_run, closers = _closers_of_cell.get(cell, (run, []))
    if last_run != run:
        for close_earlier in closers:
            close_earlier()
        closers = []
    _closers_of_cell[cell] = run, [*closers, close]


def _running_cell() -> tuple[str | None, str]:
    """The identity of the cell, and of this run of it."""
    request = getattr(get_ipython(), "parent_header", {})
    return request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id", "")
