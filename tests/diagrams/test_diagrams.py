"""The diagrams of chapters/images: drawn from their descriptions, legible on any page, nothing in the way."""

import math
import re
import runpy
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import chain, combinations, product
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

IMAGES = Path(__file__).parents[2] / "chapters" / "images"
DRAW = runpy.run_path(str(IMAGES / "draw.py"))
SVG = "{http://www.w3.org/2000/svg}"
NAMES = (
    "unrolled_rnn",
    "bptt",
    "state_space",
    "lstm",
    "gru",
    "gru_d",
    "bidirectional",
    "solver_loop",
    "adjoint_jumps",
)
COLUMN, SMALLEST, CONTRAST = 760, 13, 4.5
MARGIN = 2  # pixels between letters and whatever else there is


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners; `what` names it where a test fails."""

    what: str
    left: float
    top: float
    right: float
    bottom: float
    corner: float = 0

    def overlaps(self, other, gap=0.0):
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > -gap and min(self.bottom, other.bottom) - max(self.top, other.top) > -gap

    def holds(self, x, y, gap=0.0):
        across = abs(x - (self.left + self.right) / 2) - (self.right - self.left) / 2 + self.corner
        down = abs(y - (self.top + self.bottom) / 2) - (self.bottom - self.top) / 2 + self.corner
        return math.hypot(max(across, 0), max(down, 0)) + min(max(across, down), 0) - self.corner < -gap

    @property
    def branches(self):
        """Whether it is the dot where lines part."""
        return self.right - self.left < 10

    @property
    def corners(self):
        return [(x, y) for x in (self.left, self.right) for y in (self.top, self.bottom)]


def rectangle(rect):
    x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
    return Box(
        rect.get("class", f"the node at {x:g}, {y:g}"), x, y, x + width, y + height, float(rect.get("rx"))
    )


def letters(text):
    """A box for each run of letters in a line, in DejaVu Sans, the widest font that it may be set in."""
    runs = [(text.text or "", text)]
    for span in text:
        runs += [(span.text or "", span), (span.tail or "", text)]
    x = y = 0.0
    parts = []
    for run, style in runs:
        size = float(style.get("font-size") or text.get("font-size"))
        y += float(style.get("dy", 0)) if style is not text else 0
        family = "DejaVu Sans Mono" if style.get("font-family") else "DejaVu Sans"
        font = FontProperties(family=family, style=style.get("font-style", "normal"), size=size)
        width = text_to_path.get_text_width_height_descent(run, font, ismath=False)[0] if run else 0
        parts.append((x, y - 0.74 * size, x + width, y + 0.22 * size))
        x += width
    left = float(text.get("x")) - {"start": 0, "middle": x / 2, "end": x}[text.get("text-anchor")]
    baseline, what = float(text.get("y")), "".join(text.itertext())
    return [Box(what, left + a, baseline + b, left + c, baseline + d) for a, b, c, d in parts if c > a]


def along(path):
    """Points of a path, close to each other: of straight pieces and of Bézier curves."""
    points = []
    for command, numbers in re.findall(r"([MLQC])([^MLQC]+)", path):
        values = [float(number) for number in numbers.split()]
        given = [complex(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
        controls = given if command == "M" else [points[-1], *given]
        steps = 1 + int(sum(abs(b - a) for a, b in zip(controls, controls[1:], strict=False)) / 2)
        points += [bezier(controls, step / steps) for step in range(steps + 1)]
    return [(point.real, point.imag) for point in points]


def bezier(controls, share):
    while len(controls) > 1:
        controls = [a + share * (b - a) for a, b in zip(controls, controls[1:], strict=False)]
    return controls[0]


def border(box):
    a, b, d, c = (f"{x} {y}" for x, y in box.corners)
    return along(f"M {a} L {b} L {c} L {d} L {a}")


def overlap(these, those):
    return any(a.overlaps(b, MARGIN) for a in these for b in those)


def crosses(line, boxes, gap):
    return any(box.holds(*point, gap) for box in boxes for point in line)


class Drawing:
    """A diagram's parts, each a list of boxes: nodes, the texts in them, other texts; and its lines."""

    def __init__(self, svg):
        root = ET.fromstring(svg)
        rectangles = [rectangle(rect) for rect in root.iter(f"{SVG}rect")]
        nodes = root.findall(f"{SVG}g[@class='node']")
        inside = [(node, text) for node in nodes for text in node.iter(f"{SVG}text")]
        outside = set(root.iter(f"{SVG}text")) - {text for _, text in inside}
        self.panel = rectangles[0]
        self.groups = [[box] for box in rectangles if box.what == "group"]
        self.nodes = [[rectangle(node.find(f"{SVG}rect"))] for node in nodes]
        self.texts = [letters(text) for text in root.iter(f"{SVG}text") if text in outside]
        self.inside = [(rectangle(node.find(f"{SVG}rect")), letters(text)) for node, text in inside]
        self.lines = [along(path.get("d").strip(" Z")) for path in root.iter(f"{SVG}path")]

    def faults(self):
        """All that stands in the way of something, in words."""
        frames = [border(box) for (box,) in self.groups]
        solid = [boxes for boxes in self.nodes if not boxes[0].branches]
        pairs = [*combinations(self.nodes, 2), *combinations(self.texts, 2), *product(self.texts, self.nodes)]
        yield from (f"{a[0].what} overlaps {b[0].what}" for a, b in pairs if overlap(a, b))
        for parts, lines, gap in [
            (self.texts, self.lines + frames, -1),
            (solid, self.lines, 1),
            (solid, frames, 0),
        ]:
            found = [boxes for boxes in parts if any(crosses(line, boxes, gap) for line in lines)]
            yield from (f"a line crosses {boxes[0].what}" for boxes in found)
        for node, boxes in self.inside:
            if not all(node.holds(*corner, MARGIN) for box in boxes for corner in box.corners):
                yield f"{boxes[0].what} does not fit into {node.what}"
        for box in chain(*self.nodes, *self.texts, *self.groups):
            if not all(self.panel.holds(*corner, 8) for corner in box.corners):
                yield f"{box.what} leaves the panel"


def luminance(colour):
    """Relative to white: WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(params=NAMES)
def svg(request):
    """Each stored diagram in turn."""
    return (IMAGES / f"{request.param}.svg").read_text(encoding="utf-8")


def test_the_stored_diagrams_are_what_their_descriptions_draw(tmp_path):
    DRAW["main"](tmp_path)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    stored = {path.name: path.read_text(encoding="utf-8") for path in IMAGES.glob("*.svg")}
    assert sorted(stored) == sorted(f"{name}.svg" for name in NAMES)
    assert drawn == stored, "run python chapters/images/draw.py"


def test_it_tells_its_content_to_who_cannot_see_it(svg):
    root = ET.fromstring(svg)
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), desc.get("id")]
    assert 10 < len(title.text) < 80
    assert len(desc.text) > 200


def test_it_fills_a_column_and_no_letter_is_small(svg):
    root = ET.fromstring(svg)
    width, height = root.get("width"), root.get("height")
    assert root.get("viewBox") == f"0 0 {width} {height}"
    assert int(width) == COLUMN
    sizes = {float(part.get("font-size")) for part in root.iter() if part.get("font-size")}
    assert min(sizes) >= SMALLEST
    assert all(text.get("font-size") for text in root.iter(f"{SVG}text"))


def test_it_asks_nothing_of_the_page(svg):
    """An image knows the system's theme, not the page's, and may load nothing: it brings its own ground."""
    root = ET.fromstring(svg)
    allowed = {"svg", "title", "desc", "rect", "g", "path", "text", "tspan"}
    assert {part.tag.removeprefix(SVG) for part in root.iter()} <= allowed
    assert re.search("currentColor|href|url|<style| style=|opacity", svg) is None
    panel, (x, y, width, height) = Drawing(svg).panel, map(float, root.get("viewBox").split())
    assert panel.what == "panel"
    assert max(panel.left - x, panel.top - y, x + width - panel.right, y + height - panel.bottom) <= 1


def test_letters_and_lines_stand_out_from_their_ground(svg):
    root = ET.fromstring(svg)
    panel = root.find(f"{SVG}rect").get("fill")
    pairs = {(part.get("fill"), panel) for part in root.iter(f"{SVG}text")}
    pairs |= {(path.get("stroke") or path.get("fill"), panel) for path in root.iter(f"{SVG}path")}
    for node in root.findall(f"{SVG}g[@class='node']"):
        outline = node.find(f"{SVG}rect")
        pairs |= {(outline.get("stroke"), panel)}
        pairs |= {(text.get("fill"), outline.get("fill")) for text in node.iter(f"{SVG}text")}
    assert [(one, ground) for one, ground in pairs if contrast(one, ground) < CONTRAST] == []


def test_nothing_is_in_the_way_of_anything(svg):
    assert list(Drawing(svg).faults()) == []


SOUND = """
title = "A state and an observation of it"
desc = "A state and an observation."
height = 8
arrows = [{ start = "h_t", end = "x_t", text = "$C$" }]
groups = [{ at = [2, 2], size = [14, 5], title = "one step" }]
notes = [{ at = [25, 5], text = "a state that is observed" }]
[nodes]
h_t = { at = [6, 5], kind = "state" }
x_t = { at = [12, 5], kind = "data" }
"""


def drawn(tmp_path, before="", after=""):
    path = tmp_path / "example.toml"
    assert before in SOUND
    path.write_text(SOUND.replace(before, after) if before else SOUND, encoding="utf-8")
    return DRAW["draw"](path)


def test_a_sound_drawing_has_no_faults(tmp_path):
    assert list(Drawing(drawn(tmp_path)).faults()) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        pytest.param(
            'kind = "state"', 'kind = "state", text = "$h_{t+100}$"', "does not fit", id="long text"
        ),
        pytest.param("at = [12, 5]", "at = [8, 5]", "overlaps the node", id="two nodes"),
        pytest.param("at = [25, 5]", "at = [20, 5]", "a line crosses a state", id="note on a frame"),
        pytest.param("at = [25, 5]", "at = [13, 5]", "overlaps the node", id="note on a node"),
        pytest.param('"$C$"', '"$C$", shift = [0, 0.8]', "a line crosses C", id="label on its arrow"),
        pytest.param(
            "[nodes]",
            '[nodes]\nz = { at = [9, 5], kind = "point" }',
            "a line crosses the node",
            id="node on a line",
        ),
        pytest.param("size = [14, 5]", "size = [10, 5]", "a line crosses the node", id="node on a frame"),
        pytest.param("at = [25, 5]", "at = [34, 5]", "leaves the panel", id="note beyond the panel"),
    ],
)
def test_each_fault_is_seen(tmp_path, before, after, fault):
    assert fault in " ".join(Drawing(drawn(tmp_path, before, after)).faults())


ITALIC = '<tspan font-style="italic"'
INDEX = f'{ITALIC} font-size="13" dy="4.5">'


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("a < b", "a &lt; b", id="words"),
        pytest.param("$Σx̂-1$", f"Σ{ITALIC}>x̂</tspan>−1", id="capital Greek, a hat, a minus"),
        pytest.param(
            "$a_t$ is",
            f'{ITALIC}>a</tspan>{INDEX}t</tspan><tspan dy="-4.5"> is</tspan>',
            id="an index, and back",
        ),
        pytest.param(
            "$J_k^⊤$",
            f'{ITALIC}>J</tspan>{INDEX}k</tspan><tspan font-size="13" dy="-11.7">⊤</tspan>',
            id="an index and a power",
        ),
    ],
)
def test_mathematics_is_set_as_mathematics(words, expected):
    assert DRAW["text"](words, 0j, 18).partition(">")[2] == f"{expected}</text>"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param('end = "x_t"', 'end = "x_0"', "'x_0'", id="no such node"),
        pytest.param('kind = "data"', 'kind = "date"', "'date'", id="no such kind"),
        pytest.param('end = "x_t"', 'end = "x_t", color = "red"', "'color'", id="no such option"),
    ],
)
def test_a_slip_in_a_description_is_named_with_its_file(tmp_path, monkeypatch, before, after, words):
    drawn_from = DRAW["main"].__globals__
    monkeypatch.setitem(drawn_from, "FOLDER", tmp_path)
    (tmp_path / "example.toml").write_text(SOUND.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"example\.toml: .*{words}"):
        DRAW["main"](tmp_path)


def test_the_adjoint_that_is_drawn_is_one():
    """Of dy/dt = 6 y (1 − y): a y (1 − y) is constant between jumps, and each of these is the residual."""
    parts = tomllib.loads((IMAGES / "adjoint_jumps.toml").read_text(encoding="utf-8"))
    curves = [
        [arrow["start"], *arrow["via"], arrow["end"]] for arrow in parts["arrows"] if arrow.get("smooth")
    ]
    jumps = [arrow for arrow in parts["arrows"] if "∂L/∂y" in arrow.get("text", "")]

    def solution(column):
        return 1 / (1 + 9 * math.exp(-6 * (column - 4) / 26))

    forward, *backward = curves
    assert [9 - 6.2 * solution(column) for column, _ in forward] == pytest.approx(
        [row for _, row in forward], abs=0.02
    )
    for curve in backward:
        slopes = [solution(column) * (1 - solution(column)) for column, _ in curve]
        constant = [(16.4 - row) / 9 * slope for (_, row), slope in zip(curve, slopes, strict=True)]
        assert constant == pytest.approx([constant[0]] * len(curve), rel=0.03)
    observed = {node["at"][0]: (9 - node["at"][1]) / 6.2 for node in parts["nodes"].values()}
    sizes = {jump["start"][0]: (jump["start"][1] - jump["end"][1]) / 9 for jump in jumps}
    assert sizes == pytest.approx(
        {column: solution(column) - value for column, value in observed.items()}, abs=0.003
    )
