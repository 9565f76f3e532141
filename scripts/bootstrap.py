"""Make the environments that the Makefile works in, from nothing but a Python of the standard library.

``python3 scripts/bootstrap.py demo|test|bench|lab`` makes sure that the environment of that name is there and complete,
``browser`` that tests have one.  It says what it does, does nothing the second time, and never touches anything outside
the clone (on Debian, as root, it installs the packages ``python3-venv`` and ``chromium`` if they are what is missing).
Python 3.8 can read it too, to be told that himalia needs a newer one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Sequence  # noqa: UP035 - as old Pythons know it

# An old Python has to get as far as find_python(): newer syntax is in annotations only.
ROOT = Path(__file__).resolve().parent.parent
NEEDED = (3, 11)  # as pyproject.toml's requires-python
# Inside the environment: it goes with that, and can't speak of another one.
STAMP = "himalia-installed.json"


class Environment(NamedTuple):
    """A virtual environment and what belongs into it."""

    folder: str
    extras: str
    files: tuple[str, ...] = ()
    """Requirement files, installed without the constraints."""
    welcome: tuple[str, ...] = ()
    """Packages that may have no build for this Python; whoever needs one says so."""


ENVIRONMENTS: dict[str, Environment] = {
    "demo": Environment(".venv", "demo"),
    "test": Environment(".venv", "demo,jupyter,test,lint"),
    # Apart: what Ray and distributed bring along must not decide what the tests run with.
    "bench": Environment(".venv-bench", "dask", files=("tests/benchmarks/requirements.txt",), welcome=("ray",)),
    "lab": Environment(".venv", "demo,jupyter"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetupError(Exception):
    """Nothing more can be done without the person: the text says what to do."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    # At once: pip and uv write past Python's buffer, and lines would come after theirs.
    print(f"[himalia] {text}", flush=True)


def run(command: Sequence[str], **options: object) -> bool:
    """Run a command, its output shown; return whether it succeeded."""
    return subprocess.run(list(command), cwd=str(ROOT), check=False, **options).returncode == 0  # type: ignore[call-overload,no-any-return]


def find_python() -> str:
    """Return a Python that is new enough: this one, or another on the PATH."""
    if sys.version_info[:2] >= NEEDED:
        return sys.executable
    for minor in range(NEEDED[1] + 4, NEEDED[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    raise SetupError(
        f"himalia needs Python {NEEDED[0]}.{NEEDED[1]} or newer; this is {sys.version.split()[0]}, and none is on the "
        "PATH. Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python)."
    )


def has_venv(python: str) -> bool:
    """Whether this Python can make environments with pip in them; Debian keeps that in a package of its own."""
    # Debian's Python can import venv without its package; ensurepip is what is missing then.
    return run([python, "-c", "import ensurepip, venv; ensurepip.version()"], stderr=subprocess.DEVNULL)


def install_venv_package(python: str) -> None:
    """Bring ``venv`` to a Debian that lacks it, or say how."""
    # Of that Python: the package has its number, and ours may be another.
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=True, stdout=subprocess.PIPE
    ).stdout.decode()
    package = f"python{version.strip()}-venv"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetupError(
            f"this Python can't make virtual environments. On Debian and Ubuntu run `sudo apt install {package}`, then "
            f"the same command again; or install uv (https://docs.astral.sh/uv), which needs nothing else."
        )
    say(f"this Python has no venv: installing Debian's {package}")
    if not (apt_install(package) and has_venv(python)):
        raise SetupError(f"`apt-get install {package}` did not help; see its lines above.")


def apt_install(package: str) -> bool:
    """Install a package of the system's, as root; return whether that succeeded."""
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    # First: a fresh container has no lists of packages.
    return run(["apt-get", "update", "-qq"], env=quiet) and run(install, env=quiet)


def find_browser() -> str | None:
    """Return the path of the Chromium that tests use: the one that was chosen, else one of the system's."""
    chosen = os.environ.get("HIMALIA_CHROMIUM")
    # What was chosen is tried alone: another one in its place would hide that it is missing.
    return next(filter(None, map(shutil.which, (chosen,) if chosen else BROWSERS)), None)


def ensure_browser() -> None:
    """Bring Chromium to a Debian that lacks it; elsewhere say how, for without it the tests in it are skipped."""
    # No error if there is none in the end: everything but these tests works without it.
    if find_browser():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        say("there is no browser for tests/browser: installing Debian's chromium")
        if apt_install("chromium") and find_browser():
            return
    say(
        "there is no Chromium on the PATH, so what tests/browser checks may be skipped. Debian: sudo apt install "
        "chromium; macOS: brew install chromium; elsewhere: .venv/bin/playwright install --with-deps chromium"
    )


def bin_python(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def is_sound(folder: Path) -> bool:
    """Whether the environment runs, has pip, is new enough and still lies where it was filled."""
    # Scripts in an environment name its folder, so one that was copied or moved runs the other's.
    if not bin_python(folder).exists() or read_stamp(folder).get("folder", str(folder)) != str(folder):
        return False
    # pip, too: uv makes environments without it, and install() falls back on it.
    check = f"import sys, importlib.util as i; sys.exit(sys.version_info[:2] < {NEEDED} or not i.find_spec('pip'))"
    return run([str(bin_python(folder)), "-c", check], stderr=subprocess.DEVNULL)


def make_environment(folder: Path, uv: str | None) -> None:
    """Create an empty environment with pip in it."""
    if folder.exists():
        # A folder that happens to have this name may be somebody's work.
        if not (folder / "pyvenv.cfg").exists():
            raise SetupError(f"{folder} is there but is no virtual environment: move it away and try again.")
        say(f"{folder.name} was made for another place or Python: making it again")
        shutil.rmtree(str(folder))
    python = find_python()
    say(f"creating {folder.name} with {python}")
    # uv brings an environment even where Debian's venv is missing.
    if uv and run([uv, "venv", "--quiet", "--seed", "--python", python, str(folder)]):
        return
    if not has_venv(python):
        install_venv_package(python)
    if not run([python, "-m", "venv", str(folder)]):
        raise SetupError(f"`{python} -m venv` failed; see its lines above.")


def install(folder: Path, arguments: Sequence[str], uv: str | None) -> bool:
    """Install packages into the environment, with uv where it is and works, else with pip."""
    python = str(bin_python(folder))
    if uv and run([uv, "pip", "install", "--quiet", "--python", python, *arguments]):
        return True
    if uv:
        # uv may be old, or be configured for another index than pip.
        say("uv did not manage that; trying with pip")
    return run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def fill(environment: Environment, folder: Path) -> None:
    """Install what belongs into the environment."""
    uv = shutil.which("uv")
    arguments: list[str] = ["-e", f".[{environment.extras}]"]
    for name in environment.files:
        arguments += ["-r", name]
    # Tested versions; the others of a benchmark are what a user of them would get today.
    if not environment.files:
        arguments += ["-c", "constraints.txt"]
    say(f"installing himalia[{environment.extras}] with {'uv' if uv else 'pip'}: this takes a minute or so, once")
    if not install(folder, arguments, uv):
        raise SetupError("the installation failed; see the lines above. Is there a way to a package index?")
    for name in environment.welcome:
        say(f"installing {name}, if there is a build of it for this Python")
        # Never from source: a build would take longer than all the rest, if it succeeded.
        if not install(folder, ["--only-binary", ":all:", name], uv):
            say(f"no {name} here: what needs it will say so and go on")


def fingerprint(environment: Environment) -> str:
    """Return a digest of all that decides what is in the environment."""
    digest = hashlib.sha256()
    # By content: a checkout changes times of files that are the same.
    for name in ("pyproject.toml", "constraints.txt", *environment.files):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def read_stamp(folder: Path) -> dict[str, object]:
    """Return what was installed here last; empty if that was never finished."""
    try:
        return dict(json.loads((folder / STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def ensure(name: str) -> Path:
    """Make the environment complete and return its folder."""
    environment = ENVIRONMENTS[name]
    folder = ROOT / environment.folder
    wanted = set(environment.extras.split(","))
    sound = is_sound(folder)
    stamp = read_stamp(folder) if sound else {}
    current = stamp.get("fingerprint") == fingerprint(environment)
    # Extras add up: `make demo` after `make test` finds all it needs.
    there = set(stamp.get("extras", ())) if current else set()  # type: ignore[call-overload]
    if wanted <= there:
        return folder
    started = time.monotonic()
    if not sound:
        make_environment(folder, shutil.which("uv"))
    # Before it is filled: an installation that is cut short must not pass for one that was finished.
    (folder / STAMP).unlink(missing_ok=True)
    fill(environment, folder)
    done = {"folder": str(folder), "fingerprint": fingerprint(environment), "extras": sorted(wanted | there)}
    (folder / STAMP).write_text(json.dumps(done) + "\n")
    say(f"{environment.folder} is ready after {time.monotonic() - started:.0f} s")
    return folder


def main(arguments: Sequence[str]) -> int:
    """Make what is named on the command line."""
    if not arguments or not set(arguments) <= {*ENVIRONMENTS, "browser"}:
        print(f"usage: bootstrap.py {'|'.join(ENVIRONMENTS)}|browser …", file=sys.stderr)
        return 2
    if sys.platform == "win32":
        print("[himalia] himalia runs on Linux and macOS; on Windows use WSL 2, which is Linux.", file=sys.stderr)
        return 1
    try:
        for name in arguments:
            if name == "browser":
                ensure_browser()
            else:
                ensure(name)
    except SetupError as error:
        print(f"[himalia] {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[himalia] interrupted; the same command goes on where this one stopped", file=sys.stderr)
        # 128 + SIGINT.
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
