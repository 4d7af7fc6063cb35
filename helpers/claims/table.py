"""The claims of a chapter, gathered at its end."""

from helpers.claims.assertion import made
from helpers.figures import Table


def claims_table() -> Table:
    """The table of all claims that held since the kernel started, in the order they were made."""
    rows = ((str(i), c.text, c.measured, c.expected) for i, c in enumerate(made.values(), start=1))
    return Table(("", "claim", "measured", "expected"), tuple(rows))
