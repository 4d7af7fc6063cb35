"""Latest wins: however fast requests come, only the newest is served, and the newest always is."""

import asyncio
import math
import time
from collections.abc import Callable

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
