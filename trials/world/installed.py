"""Where programs and packages are that only these trials need: virtual environments of their own, ``var/world/NAME``.

Each has a list of pinned packages, ``trials/world/requirements/NAME.txt``; `make trial-world` installs them.
"""

from pathlib import Path

from core.errors import LastmileError

FOLDER = Path("var/world")
_LISTS = Path(__file__).with_name("requirements")


class NotInstalled(LastmileError):
    """A package is not there that a trial runs against."""


def program(environment: str, name: str) -> Path:
    """Find a program (such as ``python``) of one of the environments. Raises NotInstalled."""
    path = FOLDER.absolute() / environment / "bin" / name
    if not path.exists():
        raise NotInstalled(f"{name} of {_LISTS.name}/{environment}.txt is not installed; run: make trial-world")
    return path


def versions(environment: str, *packages: str) -> dict[str, str]:
    """Read the pinned versions of some packages of an environment."""
    lines = (_LISTS / f"{environment}.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==", 1) for line in lines if "==" in line)
    return {name: pinned[name] for name in packages}
