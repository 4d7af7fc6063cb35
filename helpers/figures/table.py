"""A small table, for the places where words and numbers belong side by side."""

import html
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; a notebook shows them as HTML, a terminal in aligned columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        rows = (self.columns, *self.rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _repr_html_(self) -> str:
        head = "".join(map(_head_cell, self.columns))
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _head_cell(text: str) -> str:
    return f'<th style="text-align: left">{html.escape(text)}</th>'


def _cell(text: str) -> str:
    return f'<td style="text-align: left">{html.escape(text)}</td>'
