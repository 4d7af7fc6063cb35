"""Latest wins: however fast requests come, only the newest is served, and the newest always is."""

import asyncio
from collections.abc import Callable

PAUSE = 0.004
"""Seconds that a redraw waits for moves which have arrived but not been read: no eye sees it, and a kernel
reads several moves in it."""


class LatestWins:
    """Serves once for all requests that arrive within a short pause.

    A kernel receives a slider's moves one by one. A redraw per move would fall behind a fast hand, and replay
    it long after it has stopped. Here a move only asks for a redraw; the redraw lets the moves pass that
    have already arrived, and reads the newest values.

    Parameters
    ----------
    serve : callable
        Reads what is wanted at the moment it is called. Without a running event loop it is called at once.
    """

    def __init__(self, serve: Callable[[], None]):
        self._serve = serve
        self._waiting = False

    def request(self) -> None:
        """Ask to be served; a request that already waits stands for this one too."""
        if self._waiting:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._serve()
            return
        self._waiting = True
        loop.call_later(PAUSE, self._take_turn)

    def _take_turn(self) -> None:
        self._waiting = False
        self._serve()
