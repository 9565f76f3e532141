from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import himalia
import himalia_labextension
import himalia_widgets

ROOT = Path(__file__).resolve().parents[3]
EXTRAS = (
    "IPython",
    "anywidget",
    "asyncssh",
    "bokeh",
    "dask",
    "distributed",
    "ipywidgets",
    "jupyter_server",
    "lightkube",
    "numpy",
    "pandas",
    "prometheus_client",
    "traitlets",
)
"""What a base install doesn't have."""
WITHOUT_EXTRAS = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def importers(folder: str, *packages: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imports_of(path)
        if name.partition(".")[0] in packages
    ]


def test_the_three_packages_of_the_wheel_have_one_version() -> None:
    assert himalia_widgets.__version__ == himalia.__version__
    assert himalia_labextension.__version__ == himalia.__version__


def test_the_runtime_never_imports_distributed() -> None:
    assert importers("cluster", "distributed") == []


def test_imports_point_one_way() -> None:
    assert importers("cluster", "himalia_widgets", "himalia_labextension") == []
    assert importers("widgets", "himalia_labextension") == []


def test_the_base_install_is_enough_for_the_package_and_the_command_line() -> None:
    packages = "himalia, himalia.cli, himalia_widgets, himalia_labextension"
    result = run(WITHOUT_EXTRAS + f"import {packages}; himalia.Client, himalia.LocalCluster")
    assert result.returncode == 0, result.stderr


def test_the_base_install_is_enough_for_every_role() -> None:
    modules = "himalia.scheduler.__main__, himalia.nanny.__main__, himalia.worker.__main__"
    result = run(WITHOUT_EXTRAS + f"import {modules}")
    assert result.returncode == 0, result.stderr


def test_importing_himalia_loads_nothing_that_it_may_not_need() -> None:
    heavy = ("asyncio", "click", "cryptography", "dask", "numpy", "tornado", "uvloop")
    result = run(f"import sys, himalia; print([name for name in {heavy} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_a_worker_process_has_no_event_loop() -> None:
    heavy = ("asyncio", "click", "cryptography", "tornado", "uvloop")
    result = run(f"import sys, himalia.worker.__main__; print([name for name in {heavy} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_on_windows_the_import_says_what_to_do() -> None:
    result = run("import sys; sys.platform = 'win32'; import himalia")
    assert result.returncode != 0
    assert "ImportError: himalia runs on Linux and macOS" in result.stderr
    assert "WSL" in result.stderr
