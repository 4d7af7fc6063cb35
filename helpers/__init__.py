"""Reference implementations for the book *Living Dynamics*, one room per idea.

Import a room by name, for example `from helpers.series import IrregularBatch`;
`import helpers` alone loads nothing heavy.
"""

__version__ = "0.1.0"
