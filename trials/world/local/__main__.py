"""``python -m trials.world.local [--full] [--seed N]``: this part alone, kept under its own name."""

import sys

from trials.running import main
from trials.world.local.desk import local

if __name__ == "__main__":
    sys.exit(main("world-local", {"local": local}))
