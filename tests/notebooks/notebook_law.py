"""What a chapter must be: each law is a function from a notebook to the list of its breaches.

A notebook is what nbformat reads. The laws read sources only, but for those that speak of what is stored.
"""

import ast
import builtins
import json
import re
from pathlib import Path
from urllib.parse import unquote

AXES = re.compile(r"(ax|axes|fig|figure|plt)(_\w+|\d+)?")
"""Names that belong to a drawing."""

DRAWING_ROOMS = ("matplotlib", "helpers.figures")
COMPUTES = {
    "backward",
    "fit",
    "manual_seed",
    "rand",
    "randint",
    "randn",
    "step",
    "zero_grad",
    "train",
    "solve",
}
"""Methods that train, solve or draw random numbers, which no drawing needs."""

REBOUND = re.compile(r"_|fig|ax|axes")
"""Names that each cell may bind anew."""

FEWEST_FINDINGS, MOST_FINDINGS = 8, 16
DRAWING_SHARE = 0.1


# What cells there are


def is_hidden(cell) -> bool:
    """Whether the reader sees only what the cell puts out."""
    return "hide-input" in cell.metadata.get("tags", [])


def code_cells(notebook, *, hidden: bool | None = None) -> list:
    """The code cells: all, those out of sight, or the others."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells if hidden is None else [cell for cell in cells if is_hidden(cell) is hidden]


def prose_cells(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def parse(cell) -> ast.Module:
    return ast.parse(cell.source)


def first_line(cell) -> str:
    return next((line for line in cell.source.splitlines() if line.strip()), "an empty cell")


# Cells out of sight


def half_hidden(notebook) -> list[str]:
    """Cells with the tag `hide-input` and not folded in JupyterLab, or folded and without the tag."""
    return [
        first_line(cell)
        for cell in code_cells(notebook)
        if is_hidden(cell) is not cell.metadata.get("jupyter", {}).get("source_hidden", False)
    ]


def subject_matter_out_of_sight(notebook) -> list[str]:
    """What hidden cells do besides drawing."""
    cells = code_cells(notebook, hidden=True)
    own = drawing_names(notebook) | {name for cell in cells for name in bound_names(parse(cell))}
    return [
        f"{first_line(cell)}: {breach}"
        for cell in cells
        for breach in (*foreign_imports(cell), *foreign_calls(cell, own))
    ]


def used_from_out_of_sight(notebook) -> list[str]:
    """Names that a hidden cell binds and a later visible cell reads."""
    bound, breaches = set(), []
    for cell in code_cells(notebook):
        if is_hidden(cell):
            bound |= {name for name in bound_names(parse(cell)) if not REBOUND.fullmatch(name)}
        else:
            breaches += [f"{first_line(cell)}: {name}" for name in sorted(bound & loaded_names(parse(cell)))]
            bound -= bound_names(parse(cell))
    return breaches


def drawing_names(notebook) -> set[str]:
    """Names that cells of the notebook import for drawing."""
    return {
        alias.asname or alias.name.split(".")[0]
        for cell in code_cells(notebook)
        for node in ast.walk(parse(cell))
        for alias in imported(node)
        if origin(node, alias).startswith(DRAWING_ROOMS)
    }


def foreign_imports(cell) -> list[str]:
    return [
        f"imports {origin(node, alias)}"
        for node in ast.walk(parse(cell))
        for alias in imported(node)
        if not origin(node, alias).startswith(DRAWING_ROOMS)
    ]


def foreign_calls(cell, own: set[str]) -> list[str]:
    """Calls of names that are neither built in nor drawing nor of hidden cells, and methods that compute."""
    breaches = []
    for call in (node for node in ast.walk(parse(cell)) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Name):
            if call.func.id not in own and not hasattr(builtins, call.func.id):
                breaches.append(f"calls {call.func.id}")
        elif getattr(call.func, "attr", "") in COMPUTES and not AXES.fullmatch(root_name(call.func)):
            breaches.append(f"calls .{call.func.attr}")
    return breaches


def root_name(node: ast.AST) -> str:
    """The name with which an expression begins, `axes` in `axes[0].step`."""
    while not isinstance(node, ast.Name):
        node = next(iter(ast.iter_child_nodes(node)), ast.Name(""))
    return node.id


# Lines in sight


def drawing_share(notebook) -> float:
    """Which part of the visible code lines draws; blank lines and comments do not count."""
    own = drawing_names(notebook)
    drawing = total = 0
    for cell in code_cells(notebook, hidden=False):
        lines = {n for n, line in enumerate(cell.source.splitlines(), 1) if re.match(r"\s*[^\s#]", line)}
        drawing += len(
            lines & {line for statement in parse(cell).body for line in drawing_lines(statement, own)}
        )
        total += len(lines)
    return drawing / total if total else 0.0


def too_much_drawing(notebook) -> list[str]:
    share = drawing_share(notebook)
    return [f"{share:.0%} of the visible code lines draw"] if share >= DRAWING_SHARE else []


def drawing_lines(statement: ast.stmt, own: set[str]) -> set[int]:
    """The lines of a statement that draw; a loop or a function draws if all of its body does."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    body = [part for name in ("body", "orelse", "finalbody") for part in getattr(statement, name, [])]
    if not body:
        return set(range(statement.lineno, statement.end_lineno + 1)) if draws(statement, own) else set()
    inside = [drawing_lines(part, own) for part in body]
    head = set(range(statement.lineno, body[0].lineno))
    opens = isinstance(statement, ast.With) and any(draws(item, own) for item in statement.items)
    return set().union(*inside) | (head if opens or all(inside) else set())


def draws(node: ast.AST, own: set[str]) -> bool:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return any(AXES.fullmatch(name) for name in names) or any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in own - {"Table"}
        for part in ast.walk(node)
    )


# Figures


def captions(notebook) -> list[str]:
    """The beginning of each figure's caption, in the order of the cells; empty where there is none."""
    calls = [
        node
        for cell in code_cells(notebook)
        for node in ast.walk(parse(cell))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "show"
    ]
    return [
        next((beginning(word.value) for word in call.keywords if word.arg == "caption"), "") for call in calls
    ]


def beginning(text: ast.expr) -> str:
    """The constant part with which a string begins."""
    if isinstance(text, ast.JoinedStr):
        text = text.values[0]
    return text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""


def misnumbered_figures(notebook, chapter: int) -> list[str]:
    """Captions that do not begin with `Figure N.1.`, `Figure N.2.`, … in order."""
    return [
        f"figure {place} has the caption {caption[:30]!r}"
        for place, caption in enumerate(captions(notebook), 1)
        if not caption.startswith(f"Figure {chapter}.{place}. ")
    ]


def missing_figures(notebook, figures: set[str]) -> list[str]:
    """Figures that the prose or a caption names, and that are not among those of the book."""
    words = "\n".join([*prose_cells(notebook), *(cell.source for cell in code_cells(notebook))])
    named = re.findall(r"\b[Ff]igures? (\d+\.\d+)(?:(?:, | and | to |–)(\d+\.\d+))?", words)
    return sorted({number for pair in named for number in pair if number} - figures)


def numbered_figures(notebook) -> set[str]:
    found = (re.match(r"Figure (\d+\.\d+)\. ", caption) for caption in captions(notebook))
    return {match[1] for match in found if match}


def pictures_stored_twice(notebook) -> list[str]:
    """Cells with an output that holds a picture as PNG and in its HTML."""
    return [
        first_line(cell)
        for cell in code_cells(notebook)
        if any(
            {"image/png", "text/html"} <= set(output.get("data", {})) for output in cell.get("outputs", [])
        )
    ]


# Names


def names_bound_twice(notebook) -> list[str]:
    """Top-level names that two cells give a value, so that the second changes what the first meant."""
    places: dict[str, int] = {}
    for cell in code_cells(notebook):
        for name in bound_names(parse(cell)):
            places[name] = places.get(name, 0) + 1
    return sorted(name for name, count in places.items() if count > 1 and not REBOUND.fullmatch(name))


def bound_names(tree: ast.Module) -> set[str]:
    """What a cell binds at its top level, but for imports and the variables of loops."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.withitem):
            targets = getattr(node, "targets", None) or [getattr(node, "target", None) or node.optional_vars]
            names |= {part.id for target in targets if target for part in ast.walk(target) if is_stored(part)}
            waiting += ast.iter_child_nodes(node)
        elif not isinstance(node, ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp):
            waiting += ast.iter_child_nodes(node)
    return names


def is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def loaded_names(tree: ast.Module) -> set[str]:
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


# Prose


def sections_without_prediction(notebook) -> list[str]:
    """Sections `## N.M` without a prompt to predict and, after it, a folded answer."""
    text = "\n\n".join(prose_cells(notebook)) + "\n## "
    sections = re.findall(r"^## (\d+\.\d+.*?)$(.*?)(?=^## )", text, flags=re.MULTILINE | re.DOTALL)
    return [
        title
        for title, body in sections
        if not re.search(r"\bPredict\b.*<details>.*</details>", body, re.DOTALL)
    ]


def findings_held(notebook) -> int | None:
    """How many findings the stored table counts."""
    outputs = [output for cell in code_cells(notebook) for output in cell.get("outputs", [])]
    texts = [output.get("data", {}).get("text/plain", "") for output in outputs]
    counts = [
        match for text in texts if (match := re.match(r"(?:(\d+) findings?)?.* held in this run", text))
    ]
    return int(counts[-1][1] or 0) if counts else None


def too_few_or_many_findings(notebook) -> list[str]:
    held = findings_held(notebook)
    if held is not None and FEWEST_FINDINGS <= held <= MOST_FINDINGS:
        return []
    return [f"{held} findings, where {FEWEST_FINDINGS} to {MOST_FINDINGS} make a chapter"]


# Links


def links(notebook) -> list[tuple[str, str]]:
    """The words and the target of each link in the prose."""
    return [link for text in prose_cells(notebook) for link in links_in(text)]


def links_in(text: str) -> list[tuple[str, str]]:
    in_markdown = re.findall(r"\[([^\[\]]*)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)[^()]*\)", text)
    return in_markdown + [("", target) for target in re.findall(r'\b(?:href|src)="([^"]+)"', text)]


def links_to_nowhere(notebook, path: Path) -> list[str]:
    """Relative links whose file or heading there is not."""
    return [target for _, target in links(notebook) if not is_there(target, notebook, path)]


def is_there(target: str, notebook, path: Path) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    name, _, anchor = target.partition("#")
    file = path.parent / unquote(name)
    if not name:
        return unquote(anchor) in anchors("\n\n".join(prose_cells(notebook)), ".ipynb")
    return file.exists() and (not anchor or unquote(anchor) in anchors(prose_of_file(file), file.suffix))


def prose_of_file(file: Path) -> str:
    if file.suffix != ".ipynb":
        return file.read_text(encoding="utf-8")
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def anchors(markdown: str, suffix: str) -> set[str]:
    """The anchors of all headings: of a notebook as JupyterLab makes them, else as GitHub does."""
    without_code = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#{1,6} +(.+?)\s*#*$", without_code, flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"[*`]", "", title)) for title in titles]
    if suffix == ".ipynb":
        return {title.replace(" ", "-") for title in plain}
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


def malformed_addresses(notebook) -> list[str]:
    """Addresses that are not https with a host, and DOIs that are not `https://doi.org/10.…/…`."""
    found = [target for _, target in links(notebook) if re.match(r"[a-z]+:|doi|www|10\.", target)]
    found += re.findall(r"(?<![(\[<\"])\bhttps?://[^\s)>\]]+", "\n".join(prose_cells(notebook)))
    return [address for address in found if not is_address(address.rstrip(".,;"))]


def is_address(address: str) -> bool:
    if "doi" in address:
        return bool(re.fullmatch(r"https://doi\.org/10\.\d{4,9}/\S+", address))
    return bool(re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/\S*)?|mailto:\S+@\S+", address))


def missing_neighbours(notebook, path: Path) -> list[str]:
    """Chapters just before and after this one to which its first or its last prose does not link."""
    number = int(path.name[:2])
    return [
        f"the {place} cell does not link to {neighbour.name}"
        for neighbour in sorted(path.parent.glob("[0-9][0-9]_*.ipynb"))
        if abs(int(neighbour.name[:2]) - number) == 1
        for place, text in (("first", prose_cells(notebook)[0]), ("last", prose_cells(notebook)[-1]))
        if neighbour.name not in [target.partition("#")[0] for _, target in links_in(text)]
    ]


# Imports, as the tree has them


def imported(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def origin(node: ast.AST, alias: ast.alias) -> str:
    return f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
