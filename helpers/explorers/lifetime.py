"""What a cell's earlier run left alive ends when the cell runs again."""

from collections.abc import Callable

from IPython import get_ipython

_left_by_cell: dict[str, tuple[str, list[Callable[[], None]]]] = {}


def close_with_cell(close: Callable[[], None]) -> None:
    """Have `close` called when the running cell runs again.

    Jupyter sends each request to run a cell with the cell's identity. Where none is sent, in a script or a
    terminal, nothing is kept and nothing is closed.
    """
    cell, run = _running_cell()
    if cell is None:
        return
    last_run, closers = _left_by_cell.get(cell, (run, []))
    if last_run != run:
        for close_earlier in closers:
            close_earlier()
        closers = []
    _left_by_cell[cell] = run, [*closers, close]


def _running_cell() -> tuple[str | None, str]:
    """The identity of the cell, and of this run of it."""
    request = getattr(get_ipython(), "parent_header", {})
    return request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id", "")
