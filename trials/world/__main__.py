"""``python -m trials.world [--full] [--seed N] [--only PART]``: run against what other people wrote."""

import sys

from trials.running import Part, main


def parts() -> dict[str, Part]:
    """Name the parts."""
    return {}


if __name__ == "__main__":
    sys.exit(main("world", parts()))
