"""Draws the book's diagrams: each NAME.toml in this folder describes one, which becomes NAME.svg beside it.

Run `python chapters/images/draw.py`. A description has a title, a desc (what somebody who cannot see the
picture needs to know), a height, and, one a line, what stands on a grid of 20 px, counted from the top left:

    h_1 = { at = [17, 9], kind = "state" }                 a node; its name is written in it, or its `text`
    { start = "x_1", end = "h_1", text = "$W_{xh}$" }      an arrow from border to border, or `via` places
    { at = [6, 2], size = [26, 15], title = "one step" }   a group: a frame behind nodes
    { at = [19, 17], text = "$h_t$ is kept" }              a note

An arrow's end "h_1 + 0.5, 0" aims half a column to the right of the node's centre. In texts, letters between
dollars are italic, and _{…} and ^{…} move; between backquotes stands code. A light panel lies below all: so a
diagram can be read on a white page and on a dark one, whichever theme the page itself has.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from math import hypot
from operator import itemgetter
from pathlib import Path

from helpers.figures import PALETTE

FOLDER = Path(__file__).parent
GRID, WIDTH = 20, 760
SMALLEST_TEXT = 13  # pixels, indices too
CONTRAST = 4.5  # of lines and letters to the panel: WCAG 2.2, 1.4.3
PANEL, FRAME = "#FCFCFA", "#D8D8D2"
HEAD, GAP, CORNER = 9, 3, 10  # pixels: an arrowhead, from an arrow to a node, a bent arrow's corner
LEVELS = {"_": 0.25, "^": -0.4, "": 0}  # of an index, downwards, in sizes of its text
LETTERS = r"((?:(?![Α-Ω])[^\W\d_][\u0300-\u036f]*)+)"  # with their hats; capital Greek stays upright
SIDES = {"above": (-18j, "middle"), "below": (16j, "middle"), "left": (-9, "end"), "right": (9, "start")}
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

KINDS = {  # columns, rows, radius of the corners in pixels, colour, how much of it fills the area, text size
    "state": (2.6, 2.6, 26, "blue", 0.13, 18),
    "data": (2.6, 2.6, 26, "green", 0.13, 18),
    "noise": (2, 2, 20, "grey", 0.13, 18),
    "missing": (2.6, 2.6, 26, "grey", 0, 18),
    "output": (2.5, 2.5, 5, "green", 0.13, 18),
    "gradient": (2.6, 2.6, 26, "vermilion", 0.13, 18),
    "weights": (4.5, 2.4, 5, "purple", 0.13, 15),
    "solution": (4.6, 3, 5, "blue", 0.13, 15),
    "part": (6.6, 3, 5, "grey", 0.13, 15),
    "operation": (1.3, 1.3, 13, "black", 0, 15),
    "branch": (0.3, 0.3, 3, "black", 1, 18),
    "point": (0.6, 0.6, 6, "green", 1, 18),
    "text": (1.8, 1.8, 0, None, 0, 18),
}


@dataclass(frozen=True)
class Node:
    """Whatever arrows lead to: a rounded rectangle, of which a circle is one."""

    at: list[float]
    kind: str
    text: str
    size: list[float] | None = None

    def distance(self, point: complex) -> float:
        """From the border to a point; negative inside."""
        corner, half, off = KINDS[self.kind][2], self.half, point - place(self.at)
        across, down = abs(off.real) - half.real + corner, abs(off.imag) - half.imag + corner
        return hypot(max(across, 0), max(down, 0)) + min(max(across, down), 0) - corner

    @property
    def half(self) -> complex:
        """Half its width and height."""
        return place(self.size or KINDS[self.kind][:2]) / 2

    def svg(self) -> str:
        """The outline and the text."""
        *_, corner, colour, share, size = KINDS[self.kind]
        written = text(self.text, place(self.at), size)
        if colour is None:
            return written
        fill, dashes = mix(PANEL, shade(colour), share), ' stroke-dasharray="4 4"' * (self.kind == "missing")
        look = f'rx="{corner}" fill="{fill}" stroke="{shade(colour)}"{dashes}'
        return f'<g class="node">{rectangle(place(self.at) - self.half, 2 * self.half, look)}{written}</g>'


@dataclass(frozen=True)
class Arrow:
    """A line between nodes or places: straight, bent with round corners, or smooth; and its text."""

    start: str | list[float]
    end: str | list[float]
    via: tuple[list[float], ...] = ()
    text: str = ""
    side: str = "above"
    shift: tuple[float, float] = (0, 0)
    colour: str = "black"
    dashed: bool = False
    head: bool = True
    smooth: bool = False

    def svg(self, nodes: dict[str, Node]) -> str:
        """The line, its head, and the text beside the middle of its longest piece."""
        points = [aim(self.start, nodes), *map(place, self.via), aim(self.end, nodes)]
        points[0] = leave(self.start, nodes, points[0], points[1])
        points[-1] = tip = leave(self.end, nodes, points[-1], points[-2])
        colour, head, label = shade(self.colour), "", self.label(middle(points))
        if self.head:
            points[-1] = neck = towards(tip, points[-2], HEAD)
            wing = (tip - neck) * 0.45j
            head = f'<path d="M {pair(tip, neck + wing, neck - wing)} Z" fill="{colour}"/>'
        look = f'fill="none" stroke="{colour}"' + ' stroke-dasharray="5 4"' * self.dashed
        line = f'<path d="{smooth(points) if self.smooth else bent(points)}" {look}/>'
        return f'<g class="arrow">{line}{head}{label}</g>'

    def label(self, beside: complex) -> str:
        """The text on the chosen side of a point."""
        off, anchor = SIDES[self.side]
        return text(self.text, beside + off + place(self.shift), 16, anchor, self.colour)


# Places are complex numbers of pixels: x + iy.


def place(at: list[float]) -> complex:
    """A place of the grid."""
    return GRID * complex(*at)


def towards(start: complex, end: complex, pixels: float) -> complex:
    """The place so far along the way."""
    return start + pixels * (end - start) / (abs(end - start) or 1)


def aim(end: str | list[float], nodes: dict[str, Node]) -> complex:
    """Where one end of an arrow points: a place, or a node's centre and so many columns and rows from it."""
    if not isinstance(end, str):
        return place(end)
    name, _, shift = end.partition(" + ")
    if name not in nodes:
        raise ValueError(f"an arrow must lead from node to node, but there is none that is called {name!r}")
    return place(nodes[name].at) + place([float(step) for step in (shift or "0,0").split(",")])


def leave(end: str | list[float], nodes: dict[str, Node], inner: complex, outer: complex) -> complex:
    """Where a line from inside a node comes out, by bisection; at a place it starts right there."""
    if not isinstance(end, str):
        return inner
    node, inside, outside = nodes[end.partition(" + ")[0]], 0.0, abs(outer - inner)
    gap = 0 if node.kind == "branch" else GAP
    while outside - inside > 1e-6:
        half = (inside + outside) / 2
        if node.distance(towards(inner, outer, half)) < gap:
            inside = half
        else:
            outside = half
    return towards(inner, outer, outside)


def middle(points: list[complex]) -> complex:
    """The middle of the longest piece."""
    start, end = max(zip(points, points[1:], strict=False), key=lambda piece: abs(piece[1] - piece[0]))
    return (start + end) / 2


# SVG.


def number(value: float) -> str:
    """To a tenth of a pixel."""
    return f"{round(value, 1) + 0.0:g}"


def pair(*points: complex) -> str:
    """Coordinates in a path."""
    return " ".join(f"{number(point.real)} {number(point.imag)}" for point in points)


def bent(points: list[complex]) -> str:
    """Straight pieces that meet in round corners."""
    corners = [
        f"{pair(towards(corner, before, CORNER))} Q {pair(corner, towards(corner, after, CORNER))}"
        for before, corner, after in zip(points, points[1:], points[2:], strict=False)
    ]
    return "M " + " L ".join([pair(points[0]), *corners, pair(points[-1])])


def smooth(points: list[complex]) -> str:
    """Through all points: the spline of Catmull and Rom, as cubic Bézier curves."""
    ends = zip([points[0], *points], points, points[1:], [*points[2:], points[-1]], strict=False)
    pieces = [f"C {pair(b + (c - a) / 6, c - (d - b) / 6, c)}" for a, b, c, d in ends]
    return " ".join([f"M {pair(points[0])}", *pieces])


def rectangle(corner: complex, size: complex, look: str) -> str:
    """From its top left corner."""
    x, y, width, height = map(number, (corner.real, corner.imag, size.real, size.imag))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" {look}/>'


def text(words: str, at: complex, size: float = 15, anchor: str = "middle", colour: str = "black") -> str:
    """Lines of text around a place."""
    lines = words.split("\n") if words else []
    tops = [at.imag + (0.35 + 1.3 * (i - (len(lines) - 1) / 2)) * size for i in range(len(lines))]
    look = f'font-size="{size}" text-anchor="{anchor}" fill="{shade(colour)}"'
    return "".join(
        f'<text x="{number(at.real)}" y="{number(top)}" {look}>{spans(line, size)}</text>'
        for line, top in zip(lines, tops, strict=True)
    )


def frame(at: list[float], size: list[float], title: str) -> str:
    """A group's border, and its title in the corner."""
    corner, look = place(at), f'class="group" rx="8" fill="none" stroke="{FRAME}"'
    return rectangle(corner, place(size), look) + text(title, corner + 12 + 16j, 14, "start")


def spans(line: str, size: float) -> str:
    """Runs of letters in one style; each moves from the last one, the only shift that all browsers know."""
    written, stands = "", 0.0
    for run, style, level in filter(itemgetter(0), runs(line)):
        moved, stands = level * size - stands, level * size
        look = style + f' font-size="{max(SMALLEST_TEXT, round(0.72 * size))}"' * (level != 0)
        look += f' dy="{number(moved)}"' * (moved != 0)
        written += f"<tspan{look}>{escape(run)}</tspan>" if look else escape(run)
    return written


def runs(line: str) -> Iterator[tuple[str, str, float]]:
    """Letters, style and level: of words as they are, of `code`, and of $mathematics$."""
    for part in re.split(r"(\$[^$]*\$|`[^`]*`)", line):
        if not part.startswith("$"):
            yield part.strip("`"), f' font-family="{MONO}"' * part.startswith("`"), 0.0
            continue
        for mark, index, plain in re.findall(r"([_^])(\{[^}]*\}|.)|([^_^]+)", part[1:-1].replace("-", "−")):
            for position, run in enumerate(re.split(LETTERS, index.strip("{}") or plain)):
                yield run, ' font-style="italic"' * (position % 2), LEVELS[mark]


def luminance(colour: str) -> float:
    """Of sRGB, relative to white: WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def mix(colour: str, other: str, share: float) -> str:
    """So much of another colour in a first."""
    parts = [(int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in parts)


@cache
def shade(name: str) -> str:
    """The palette's colour for lines and letters: as dark as the contrast to the panel demands."""
    shades = (mix(PALETTE[name], PALETTE["black"], percent / 100) for percent in range(101))
    return next(dark for dark in shades if (luminance(PANEL) + 0.05) / (luminance(dark) + 0.05) >= CONTRAST)


def draw(description: Path) -> str:
    """The SVG of one diagram."""
    parts = tomllib.loads(description.read_text(encoding="utf-8"))
    nodes = {name: Node(**{"text": f"${name}$"} | entry) for name, entry in parts["nodes"].items()}
    groups = [frame(**entry) for entry in parts.get("groups", [])]
    arrows = [Arrow(**entry).svg(nodes) for entry in parts.get("arrows", [])]
    notes = [text(entry.pop("text"), place(entry.pop("at")), **entry) for entry in parts.get("notes", [])]
    elements = [*groups, *arrows, *(node.svg() for node in nodes.values()), *notes]
    name, size = description.stem, complex(WIDTH, round(GRID * parts["height"]))
    box = f'width="{size.real:g}" height="{size.imag:g}" viewBox="0 0 {size.real:g} {size.imag:g}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="{SANS}" stroke-width="1.5"
  role="img" aria-labelledby="{name}-title {name}-desc">
<title id="{name}-title">{escape(parts["title"])}</title>
<desc id="{name}-desc">{escape(parts["desc"].strip())}</desc>
{rectangle(0.5 + 0.5j, size - 1 - 1j, f'class="panel" rx="12" fill="{PANEL}" stroke="{FRAME}"')}
{chr(10).join(elements)}
</svg>
"""


def main(folder: Path = FOLDER) -> None:
    """Draw every diagram into a folder."""
    for description in sorted(FOLDER.glob("*.toml")):
        try:
            drawn = draw(description)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{description.name}: {error}") from error
        (folder / f"{description.stem}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
