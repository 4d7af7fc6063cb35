"""What a newcomer's first minute rests on: pinned versions, the two commands, and the licences."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / ".ci" / "install"
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))
PLANNED = 13


def constraints():
    return dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


def run_install(folder, python, **environment):
    command = ["sh", str(INSTALL), str(python), "lab", ".venv/installed-lab"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


def last_sentence(result):
    return result.stderr.strip().splitlines()[-1]


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    assert lines == sorted(lines, key=lambda line: line.split("==")[0].lower().replace("_", "-"))


def test_every_dependency_is_pinned_within_its_range():
    pinned = {name.lower().replace("_", "-"): number for name, number in constraints().items()}
    for line in requires("living-dynamics"):
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), line


def test_no_pinned_package_slows_every_start():
    """jsonschema 4.25 brings rfc3987-syntax, which compiles a grammar for 4 s at every start of Jupyter."""
    assert "rfc3987-syntax" not in {name.replace("_", "-") for name in constraints()}


def test_this_environment_is_the_pinned_one():
    assert version("torch").split("+")[0] == constraints()["torch"]


def test_importing_helpers_loads_nothing_heavy():
    heavy = ("torch", "numpy", "matplotlib", "IPython")
    code = (
        f"import sys, helpers, helpers.reader\nprint([module for module in {heavy} if module in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_importing_model_rooms_loads_no_notebook_and_no_figure():
    rooms = (
        "arguments, progress, series, data, observation, systems, statespace, recurrent, dynamics, odes, "
        "fields, training"
    )
    unwanted = ("IPython", "matplotlib", "ipywidgets")
    code = (
        f"import sys\nfrom helpers import {rooms}\n"
        f"print([module for module in {unwanted} if module in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_no_file_names_a_package_registry():
    hosts = ("pypi" + ".org", "python" + "hosted.org", "download.pytorch" + ".org", "registry.npmjs" + ".org")
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    named = [
        (file, host)
        for file in tracked
        for host in hosts
        if host in (ROOT / file).read_text(encoding="utf-8", errors="ignore")
    ]
    assert named == []


def test_missing_python_ends_with_what_to_do(tmp_path):
    result = run_install(tmp_path, "no-such-python")
    assert result.returncode == 1
    assert "install Python 3.11 or newer" in last_sentence(result)


def fake_python(folder, body):
    python = folder / "fake-python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    return python


def test_old_python_ends_with_what_to_do(tmp_path):
    python = fake_python(tmp_path, '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    result = run_install(tmp_path, python)
    assert result.returncode == 1
    assert "needs Python 3.11 or newer" in last_sentence(result)
    assert "Python 3.9.2" in last_sentence(result)
    assert not (tmp_path / ".venv").exists()


def test_missing_venv_ends_with_what_to_do(tmp_path):
    python = fake_python(tmp_path, 'case "$2" in *ensurepip*) exit 1;; esac')
    result = run_install(tmp_path, python)
    assert result.returncode == 1
    assert "python3-venv" in last_sentence(result)


def test_failed_download_ends_with_what_to_do_and_is_not_taken_for_done(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "constraints.txt").write_text("")
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    result = run_install(tmp_path, sys.executable, PIP_RETRIES="0", PIP_CONFIG_FILE=os.devnull, **unreachable)
    assert result.returncode == 1
    assert "check the network" in last_sentence(result)
    assert not (tmp_path / ".venv" / "installed-lab").exists()


def test_installation_passes_the_extras_on_and_is_quiet_where_no_terminal_is(tmp_path):
    pip = tmp_path / ".venv" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text('#!/bin/sh\necho "Collecting torch"\necho "$@" >asked\n')
    pip.chmod(0o755)
    result = run_install(tmp_path, sys.executable)
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)
    assert (tmp_path / "asked").read_text().endswith("--constraint constraints.txt --editable .[lab]\n")
    assert "Collecting torch" in (tmp_path / ".venv" / "install.log").read_text()
    assert (tmp_path / ".venv" / "installed-lab").exists()


@pytest.mark.parametrize(
    ("target", "needs"),
    [
        ("lab", "my"),
        ("my", ".venv/installed-lab"),
        ("fresh", ".venv/installed-lab"),
        ("test", ".venv/installed-test"),
        ("bench", ".venv/installed-test"),
        ("course", ".venv/installed-course"),
    ],
    ids=lambda word: word,
)
def test_make_has_one_readable_line_for_each_target(target, needs):
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(rf"^{target}: {re.escape(needs)}\n((?:\t.+\n)+)", makefile, flags=re.MULTILINE)[1]
    assert recipe.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "extras"),
    [("lab", "lab"), ("test", "lab,course,test"), ("course", "course")],
    ids=lambda word: word,
)
def test_make_installs_no_more_than_its_target_needs(target, extras, tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    plan = subprocess.check_output(["make", "--dry-run", target], cwd=tmp_path, text=True)
    assert f'sh .ci/install "python3" "{extras}" ".venv/installed-{target}"' in plan


def test_lab_asks_for_no_news_and_hides_what_is_for_teachers():
    settings = ROOT / ".jupyter" / "labconfig"
    overrides = json.loads((settings / "default_setting_overrides.json").read_text())
    news = overrides["@jupyterlab/apputils-extension:notification"]
    assert news == {"fetchNews": "false", "checkForUpdates": False}
    page = json.loads((settings / "page_config.json").read_text())
    assert page["disabledExtensions"] == {"@jupyter/nbgrader": True}


def cells_of(notebook):
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def claims_in(chapter):
    """How many statements a chapter checks: its calls of `claim` and of `identity`."""
    code = "\n".join("".join(cell["source"]) for cell in cells_of(chapter) if cell["cell_type"] == "code")
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return sum(getattr(call.func, "id", "") in {"claim", "identity"} for call in calls)


def exercises_of(chapter):
    """How many checks of a chapter's exercises are graded."""
    path = ROOT / "exercises" / chapter.name
    graded = (
        [cell["metadata"].get("nbgrader", {}).get("grade") for cell in cells_of(path)]
        if path.exists()
        else []
    )
    return graded.count(True)


def stated_seconds(chapter):
    prose = "".join("".join(cell["source"]) for cell in cells_of(chapter) if cell["cell_type"] == "markdown")
    return re.search(r"Run All takes about (\d+) s", prose)[1]


def test_readme_lists_what_is_written_with_its_counts():
    """Claims and exercises are counted; the run time is what the chapter states, which has its own test."""
    listed = re.findall(r"\| \[\d+ [^\]]+\]\((chapters/\S+)\) \| (\d+) \| (\d+) s \| ([^|]+) \|", README)
    expected = []
    for chapter in CHAPTERS:
        count = exercises_of(chapter)
        exercises = f"[{count}](exercises/{chapter.name})" if count else "none"
        expected.append(
            (f"chapters/{chapter.name}", str(claims_in(chapter)), stated_seconds(chapter), exercises)
        )
    assert listed == expected


def test_readme_names_what_is_not_written_yet():
    numbers = [
        int(number) for number in re.findall(r"^\|[^|]*\| (\d+) [^|]+\| not written", README, re.MULTILINE)
    ]
    assert sorted(numbers + [int(chapter.name[:2]) for chapter in CHAPTERS]) == list(range(PLANNED))
    assert f"{len(CHAPTERS)} of {PLANNED} chapters, 0 to 12, are written" in README


def test_readme_counts_claims_exercises_explorers_and_tables():
    claims, exercises = sum(map(claims_in, CHAPTERS)), sum(map(exercises_of, CHAPTERS))
    modules = (ROOT / "helpers" / "explorers").glob("*.py")
    explorers = sum("\ndef explorer()" in path.read_text(encoding="utf-8") for path in modules)
    tables = len(list((ROOT / "helpers" / "data" / "tables").glob("*.csv")))
    assert re.findall(r"(\d+) (?:checks of what|claims)", README) == [str(claims)] * 2
    assert re.findall(r"^\| (\d+) exercises answer", README, re.MULTILINE) == [str(exercises)]
    assert re.findall(r"(\d+) explorers", README) == [str(explorers)]
    assert f"{tables} small tables ship with the book" in README


def test_readme_s_numbers_of_files_are_those_that_the_guide_promises():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    kalman, solver = re.search(r"(\d+) files hold the Kalman filter, (\d+) all of `solve`", README).groups()
    assert re.search(r"^\| Kalman filter \| `[^`]+` \| (\d+) \|", guide, re.MULTILINE)[1] == kalman
    assert re.search(r"^\| `solve` \| `[^`]+` \| (\d+) \|", guide, re.MULTILINE)[1] == solver


def test_readme_s_speeds_are_measured():
    measured = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    quoted = [
        number
        for row in re.findall(r"^\|.+\(benchmarks/README\.md\).+\|$", README, re.MULTILINE)
        for number in re.findall(r"([\d.]+) (?:ms|×)", row)
    ]
    assert len(quoted) >= 8
    assert [number for number in quoted if number not in re.findall(r"\d+(?:\.\d+)?", measured)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_lead_somewhere(page):
    text = re.sub(r"`[^`\n]+`", "", (ROOT / page).read_text(encoding="utf-8"))  # an example is no link
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_commands_of_the_readme_are_targets_of_make():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make (\w+)", README, re.MULTILINE)) <= set(targets)


def test_imports_of_the_readme_work():
    exec(re.search(r"```python\n(.+?)```", README, re.DOTALL)[1], {})


def test_citation_has_what_its_format_asks_for_and_this_version():
    """Citation File Format 1.2.0: four keys are required."""
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    top = dict(
        re.fullmatch(r"([a-z-]+): *(.*)", line).groups() for line in lines if re.match(r"[a-z-]+:", line)
    )
    assert top["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(top)
    assert top["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert "  - name: Living Dynamics contributors" in lines


def test_licences_are_complete():
    assert "Redistributions in binary form" in (ROOT / "LICENSE").read_text()
    assert "Section 8 -- Interpretation" in (ROOT / "LICENSE-CC-BY-4.0").read_text()


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_modules_and_notebooks_are_in_style(command):
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert ruff.returncode == 0, ruff.stdout
