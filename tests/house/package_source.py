"""The package as its source tells it: modules, imports, definitions, and the files a function leads to."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
CALLED_BY_ITSELF = {"__init__", "__call__", "forward", "backward"}


@dataclass(frozen=True)
class Import:
    """One imported name: `from origin import name as alias`, or `import origin as alias` without a name."""

    origin: str
    name: str | None
    alias: str
    line: int
    local: bool


@dataclass(frozen=True, eq=False)
class Module:
    """One file of the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room it belongs to: the word after `helpers`."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def imports(self) -> tuple[Import, ...]:
        """Everything it imports, inside functions too."""
        return imports_of(self.tree)

    @property
    def definitions(self) -> dict[str, ast.AST]:
        """What stands at its top level, by name."""
        return _definitions(self)

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


@cache
def modules() -> dict[str, Module]:
    """Every module of `helpers`, by its dotted name."""
    found = {}
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports_of(tree: ast.Module) -> tuple[Import, ...]:
    """Every import of a file, and whether it stands inside a function."""
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        local = id(node) not in top
        if isinstance(node, ast.ImportFrom):
            found += [
                Import(node.module, name.name, name.asname or name.name, node.lineno, local)
                for name in node.names
            ]
        elif isinstance(node, ast.Import):
            found += [
                Import(name.name, None, name.asname or name.name, node.lineno, local) for name in node.names
            ]
    return tuple(found)


def functions(tree: ast.AST) -> Iterator[FUNCTION]:
    """Every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTION))


def body(function: FUNCTION) -> list[ast.stmt]:
    """The statements of a function after its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def files_to_read(start: str) -> set[str]:
    """The files that hold what a function, class or method leads to: all that it names, and so on.

    Of a class, the methods count that are named on the way, and those that Python or torch calls by itself;
    where a method is the start, of its class and the bases only those that are named on the way.
    Checks of arguments are passed by (`check_…`, `refuse_…`, the room `arguments`): they
    compute nothing.
    """
    reached: dict[tuple[str, str], list[tuple[str | None, ast.AST]]] = {}
    owner, method = start.rsplit(".", 1)
    is_method = owner not in modules()
    waiting = [tuple((owner if is_method else start).rsplit(".", 1))]
    attributes, called_by_itself = ({method}, set()) if is_method else (set(), CALLED_BY_ITSELF)
    read: set[str | None] = set()
    while waiting:
        place = resolve(*waiting.pop())
        if place is not None and place not in reached and not _only_checks(*place):
            reached[place] = _parts(modules()[place[0]].definitions[place[1]])
        for (module, _), parts in reached.items():
            for name, part in list(parts):
                if name is not None and name not in attributes | called_by_itself:
                    continue
                parts.remove((name, part))
                read.add(name)
                attributes |= {node.attr for node in ast.walk(part) if isinstance(node, ast.Attribute)}
                waiting += [(module, used) for used in _names_used(part)]
    return {str(modules()[module]) for module, _ in reached} if not is_method or method in read else set()


def resolve(module: str, name: str) -> tuple[str, str] | None:
    """Where a name that a module uses is defined, whatever rooms hand it on; None outside `helpers`."""
    if module not in modules():
        return None
    if name in modules()[module].definitions:
        return module, name
    for found in modules()[module].imports:
        if found.alias == name and found.origin.startswith("helpers"):
            return resolve(found.origin, found.name) if found.name else None
    return None


@cache
def _definitions(module: Module) -> dict[str, ast.AST]:
    found = {}
    for node in module.tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
            }
    return found


def _parts(definition: ast.AST) -> list[tuple[str | None, ast.AST]]:
    """A definition in parts: methods by their names, and without a name what is read in any case."""
    if not isinstance(definition, ast.ClassDef):
        return [(None, definition)]
    statements = [*definition.bases, *definition.decorator_list, *definition.body]
    return [(part.name if isinstance(part, FUNCTION) else None, part) for part in statements]


def _names_used(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _only_checks(module: str, name: str) -> bool:
    return module == "helpers.arguments" or name.lstrip("_").startswith(("check_", "refuse_"))
