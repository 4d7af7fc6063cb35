"""What a newcomer's first minute rests on: pinned versions, the two commands, and the licences."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / ".ci" / "install"


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


def test_licences_are_complete():
    assert "Redistributions in binary form" in (ROOT / "LICENSE").read_text()
    assert "Section 8 -- Interpretation" in (ROOT / "LICENSE-CC-BY-4.0").read_text()


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_modules_and_notebooks_are_in_style(command):
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert ruff.returncode == 0, ruff.stdout
