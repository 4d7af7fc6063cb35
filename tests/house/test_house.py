"""The law of the house, as CONTRIBUTING.md states it: rooms, imports, documentation, files to open."""

import ast
import math
import re
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions

import pytest
from package_source import ROOT, body, files_to_read, functions, imports_of, modules, resolve
from packaging.requirements import Requirement

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = tuple(re.findall(r"^\| `helpers\.(\w+)` \|", GUIDE, flags=re.MULTILINE))
WALKS = re.findall(r"^\| ([^|]+) \| `(helpers\.[\w.]+)` \| (\d+) \| ([^|]+) \|$", GUIDE, flags=re.MULTILINE)
SHOWS = ("figures", "claims", "checks", "explorers", "book")
LONGEST_FUNCTION = 40
_DISTRIBUTIONS = packages_distributions()
LARGEST_COPY = 13  # nodes of a syntax tree: `return self.x` has five


def test_every_room_has_its_place():
    assert sorted(ROOMS) == sorted({module.room for module in modules().values()} - {""})


def test_a_room_knows_only_those_below_it():
    upwards = [
        f"{module}:{found.line} imports {found.origin}"
        for module in modules().values()
        for found in module.imports
        if (other := _room(found)) and other != module.room and _floor(other) >= _floor(module.room)
    ]
    assert upwards == []


def test_a_room_is_entered_through_its_door():
    through_the_wall = [
        f"{module}:{found.line} imports {found.origin}"
        for module in modules().values()
        for found in module.imports
        if (other := _room(found)) and other != module.room and found.origin.count(".") > 1
    ]
    assert through_the_wall == []


def test_a_door_hands_out_what_it_names():
    for name, module in modules().items():
        if module.path.name == "__init__.py" and "__all__" in module.definitions:
            offered = ast.literal_eval(module.definitions["__all__"].value)
            assert offered == sorted(set(offered), key=_as_ruff_sorts), module
            assert [word for word in offered if not _is_defined(name, word)] == [], module


def test_no_import_hides_in_a_function():
    hidden = [
        f"{module}:{found.line} imports {found.origin}"
        for module in modules().values()
        for found in module.imports
        if found.local and found.origin.startswith("helpers")
    ]
    assert hidden == []


def test_imports_make_no_circle():
    leads_to = {name: {_module(found) for found in module.imports} for name, module in modules().items()}
    path: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name in done or name not in modules():
            return
        path.append(name)
        for other in sorted(leads_to[name] - {name}):
            visit(other)
        done.add(path.pop())

    for name in modules():
        visit(name)


def test_every_library_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    everywhere = _declared(project["dependencies"])
    assert _foreign("helpers") <= everywhere | _declared(extras["course"])
    assert _foreign("tests") <= everywhere | _declared(extras["course"] + extras["lab"] + extras["test"])
    assert _foreign("benchmarks") <= everywhere | _declared(sum(extras.values(), []))


def test_only_rooms_that_show_something_know_notebooks():
    shown = [
        f"{module}:{found.line} imports {found.origin}"
        for module in modules().values()
        for found in module.imports
        if found.origin.split(".")[0] in ("IPython", "ipywidgets", "matplotlib", "tqdm")
        and module.room not in (*SHOWS, "progress")
    ]
    assert shown == []


def test_nothing_is_written_twice():
    copies = defaultdict(list)
    for module in modules().values():
        for function in functions(module.tree):
            if sum(1 for statement in body(function) for _ in ast.walk(statement)) > LARGEST_COPY:
                copies[ast.dump(ast.Module(body(function), []))].append(f"{module}: {function.name}")
    assert [places for places in copies.values() if len(places) > 1] == []


def test_a_function_is_short_enough_to_see_whole():
    long = [
        f"{module}: {function.name} has {lines} lines"
        for module in modules().values()
        for function in functions(module.tree)
        if body(function) and (lines := function.end_lineno - body(function)[0].lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(r"\.\. math::|\\mathbf|\\top|:math:", id="LaTeX"),
        pytest.param(r"Tensor( of \w+)?, shapes? ", id="shape in words"),
        pytest.param(r", got ", id="a comma before got"),
        pytest.param(r"``", id="double backticks"),
        pytest.param(r"^\s+(Args|Arguments|Return|Yield|Raise):\s*$", id="another dialect's sections"),
    ],
)
def test_documentation_has_one_dialect(foreign):
    lines = [
        f"{module}:{number}: {line.strip()}"
        for module in modules().values()
        for number, line in enumerate(module.path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(foreign, line)
    ]
    assert lines == []


def test_tests_enter_rooms_through_their_doors():
    """A test of an inner part lies in the part's own room."""
    through_the_wall = [
        f"{path.relative_to(ROOT)} imports {found.origin}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for found in imports_of(ast.parse(path.read_text(encoding="utf-8")))
        if (room := _room(found)) and found.origin.count(".") > 1 and room != path.relative_to(ROOT).parts[1]
    ]
    assert through_the_wall == []


def test_every_case_has_a_readable_name(request):
    """pytest names a case that it cannot put into words by its number: change0, <lambda>3."""
    numbered = [
        item.nodeid
        for item in request.session.items
        if hasattr(item, "callspec")
        and any(re.search(rf"\b{name}\d+\b|<lambda>", item.callspec.id) for name in item.callspec.params)
    ]
    assert numbered == []


@pytest.mark.parametrize(("what", "start", "count", "files"), WALKS, ids=[walk[0] for walk in WALKS])
def test_a_reader_opens_no_more_files_than_promised(what, start, count, files):
    promised = {f"helpers/{name}" for name in re.findall(r"`([\w/.]+)`", files)}
    assert files_to_read(start) == promised
    assert len(promised) == int(count)


def test_what_the_guide_names_stands_where_it_says():
    """A name and its file, as in `predict` (`step.py`); without a folder, in the linear-Gaussian room."""
    named = re.findall(r"`(\w+)`[^`|]{0,3}\(`([\w/]+\.py)`\)", GUIDE)
    assert len(named) > 15
    gaussian = "helpers/statespace/gaussian/"
    defined = {str(module): module.definitions for module in modules().values()}
    absent = [
        (name, file)
        for name, file in named
        if name not in defined.get(file if "/" in file else gaussian + file, {})
    ]
    assert absent == []


def test_the_example_of_an_exercise_runs():
    example = re.search(r"```python\n(.+?)```", GUIDE, flags=re.DOTALL)[1]
    names: dict = {}
    exec(compile(example, "CONTRIBUTING.md", "exec"), names)
    lifetime, half_life = names["lifetime"], math.log(2) / 0.1
    assert lifetime(lambda rate: 1 / rate, half_life).passed
    assert "multiply by the rate" in repr(lifetime(lambda rate: rate, half_life))
    assert "mean lifetime" in repr(lifetime(lambda rate: 1 / rate, 10.0))


def test_no_two_test_files_share_a_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_the_promises_are_those_of_the_design():
    most = {"Kalman filter": 3, "HMM, forward pass": 2, "recurrent cell": 2, "solver's step": 3, "`solve`": 8}
    most |= {"LSTM's step": 2, "GRU's step": 2, "LSTM, with its loop and its fast path": 3}
    most |= {"its gradient, steps taken again": 9, "its gradient, adjoint equation": 8, "checkpoints": 1}
    assert {what: int(count) <= most[what] for what, _, count, _ in WALKS} == dict.fromkeys(most, True)


def _room(found) -> str:
    """The room that an import enters; empty for one from outside."""
    parts = _module(found).split(".")
    return parts[1] if parts[0] == "helpers" and len(parts) > 1 else ""


def _module(found) -> str:
    """The module that an import loads: `from package import module` loads the module."""
    inner = f"{found.origin}.{found.name}"
    return inner if inner in modules() else found.origin


def _floor(room: str) -> int:
    return ROOMS.index(room) if room else -1


def _is_defined(module: str, name: str) -> bool:
    return f"{module}.{name}" in modules() or resolve(module, name) is not None


def _as_ruff_sorts(name: str) -> tuple[bool, bool, str]:
    constant, private = name.isupper() and len(name) > 1, not name[0].isupper()
    return not constant, private, name


def _declared(requirements: list[str]) -> set[str]:
    return {_plain(Requirement(line).name) for line in requirements}


def _foreign(folder: str) -> set[str]:
    """The libraries that a folder's files import, by the names under which they are declared."""
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"helpers"} | set(sys.stdlib_module_names)
    tops = {
        found.origin.split(".")[0]
        for path in (ROOT / folder).rglob("*.py")
        for found in imports_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    return {_plain(_DISTRIBUTIONS.get(top, [top])[0]) for top in tops - own}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
