"""The package: complete, installable from a wheel, its examples true, its parts in their places."""

from __future__ import annotations

import ast
import configparser
import doctest
import importlib
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP = ("api", "arch", "cli", "compiler", "compress", "engines", "rtl", "tlm")


def listed_packages() -> list[str]:
    """The packages that setup.cfg installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]["packages"].split()


def modules() -> list[str]:
    """Names of all modules, told from the files so that collecting the tests imports none."""
    files = sorted(path for top in TOP for path in (ROOT / top).rglob("*.py"))
    names = (path.relative_to(ROOT).with_suffix("").parts for path in files)
    return ["kcnn." + ".".join(parts).removesuffix(".__init__") for parts in names
            if parts[-1] != "__main__"]


def tracked_files() -> list[Path]:
    """What git has, links left out; the whole tree where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_types_of_every_script_of_bench_are_checked() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["mypy"]["modules"].replace(",", " ").split()
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "bench").rglob("*.py"))


def test_every_folder_with_code_is_listed_in_setup_cfg() -> None:
    folders = {path.parent for top in TOP for path in (ROOT / top).rglob("*.py")}
    names = {"kcnn." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert sorted(listed_packages()) == sorted(names)
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_the_root_is_a_namespace() -> None:
    assert not (ROOT / "kcnn").exists()
    assert not (ROOT / "__init__.py").exists()


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert results.failed == 0


def test_there_are_examples_in_docstrings() -> None:
    """Guards the test above against finding nothing."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in modules() for test in finder.find(importlib.import_module(name))
                if test.examples]
    assert len(examples) >= 3


def test_packages_import_only_what_they_may() -> None:
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def imported(name: str, known: set[str]) -> Iterator[str]:
    """Modules of ours that a module imports, within functions and for types alone too."""
    file = ROOT.joinpath(*name.split(".")[1:])
    inside = (file / "__init__.py").exists()
    package = name.split(".") if inside else name.split(".")[:-1]
    for node in ast.walk(ast.parse((file / "__init__.py" if inside else file.with_suffix(".py"))
                                   .read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) + 1 - node.level] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            whole = (f"{source}.{alias.name}" for alias in node.names)
            yield from {name if name in known else source for name in whole} & known


def test_no_modules_import_one_another_in_a_circle() -> None:
    known = set(modules())
    arrows = nx.DiGraph((name, other) for name in known for other in imported(name, known))
    assert len(arrows.edges) > 500                      # guards the line below
    circles = [sorted(circle) for circle in nx.strongly_connected_components(arrows)
               if len(circle) > 1]
    assert circles == [] and list(nx.selfloop_edges(arrows)) == []


def test_networks_are_built_without_torch() -> None:
    """Another source of networks than torch's exports calls the same constructors."""
    code = ("import sys, pkgutil, importlib, kcnn.compiler.construct as c, kcnn.compiler.ir as i; "
            "[importlib.import_module(f'{p.__name__}.{m.name}') for p in (c, i) "
            "for m in pkgutil.iter_modules(p.__path__)]; import kcnn.compiler.passes; "
            "print('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n", done.stderr


def test_torch_networkx_and_sklearn_stay_in_the_compiler() -> None:
    """The machines and the contracts run where no torch is installed."""
    code = ("import sys, kcnn.arch.program, kcnn.tlm.machine, kcnn.rtl.machine; "
            "print([m for m in ('torch', 'networkx', 'sklearn') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what git has, so that nothing else can slip in."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked_files():
        copy = folder / "source" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation",
                           "--outdir", folder, folder / "source"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_source_and_nothing_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    expected = {f"kcnn/{path.relative_to(ROOT)}" for path in tracked_files()
                if path.relative_to(ROOT).parts[0] in TOP
                and path.suffix not in (".md", ".pyc")}
    assert expected <= set(names)
    assert {name.split("/")[0] for name in names} <= {"kcnn"} | {
        name.split("/")[0] for name in names if ".dist-info/" in name}


def test_the_wheel_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Its own virtual environment, outside the source; only the dependencies are borrowed."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "env" / "lib" / version / "site-packages"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
                    "--target", site, wheel], check=True, cwd=tmp_path)
    # a .pth file of its own is not read from a borrowed folder, so the editable install stays out
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "env" / "bin" / "python"
    where = subprocess.run([python, "-c", "import kcnn.arch as a; print(a.__path__[0])"],
                           capture_output=True, text=True, cwd=tmp_path)
    assert where.stdout.startswith(str(site)), where.stdout + where.stderr
    done = subprocess.run([python, "-m", "kcnn.cli", "configs"], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"tiny", "small"} <= set(done.stdout.split())
    script = (site / "bin" / "kcnn").read_text()
    assert "kcnn.cli.__main__" in script


def test_what_commands_write_is_not_tracked() -> None:
    """The README's commands leave networks and binaries where they are called."""
    written = [path.name for path in tracked_files()
               if path.suffix in (".pt2", ".kbin", ".npy", ".pth")]
    assert written == []


def test_no_machine_is_named_in_the_tree() -> None:
    """Paths of one computer do not belong here; only .ci/run may know where data lie beside it."""
    machine_path = re.compile(r"/(?:home|work|root|Users)/\w|\.\./" + "shared")
    offenders = []
    for path in tracked_files():
        if path == ROOT / ".ci" / "run":
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        offenders += [f"{path.relative_to(ROOT)}: {found.group()}"
                      for found in machine_path.finditer(text)]
    assert offenders == []
