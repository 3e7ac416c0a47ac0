"""``python -m trials [--full] [--seed N]``: all trials, one after the other, and the report; 1 when a bound broke."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from trials import report
from trials.results import FOLDER


def main(argv: Sequence[str] | None = None) -> int:
    """Run all in sample size, or in full. Each is a process of its own, so that none can end the others."""
    parser = argparse.ArgumentParser(prog="python -m trials", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes that the promises are made for: hours")
    parser.add_argument("--seed", type=int, help="instead of each trial's own")
    given = parser.parse_args(argv)
    ended = [run(name, is_full=given.full, seed=given.seed) for name in report.TRIALS]
    return max([*ended, report.main()])


def run(name: str, *, is_full: bool, seed: int | None) -> int:
    """Run one trial: 0, or 1 when a bound is broken or it ended without an outcome, which is broken as well."""
    kept = FOLDER / f"{name}{'-full' if is_full else ''}.json"
    kept.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"trials.{name}", *(["--full"] if is_full else [])]
    command += ["--seed", str(seed)] if seed is not None else []
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own programs
    if not kept.exists():
        sys.stderr.write(f"error: the trial {name} ended with code {code} and left no {kept}\n")
        return 1
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
