"""The command line of Lastmile: ``python starter.py --help``. The verbs are in `cli`."""

from cli.interrupts import leave_on_interrupt, raise_on_interrupt

if __name__ == "__main__":
    leave_on_interrupt()

import sys

try:
    from cli.leaving import leave_process
    from cli.main import main
except ModuleNotFoundError as missing:
    sys.stderr.write(f"error: {missing.name} is not installed: run `make install`, then .venv/bin/python starter.py\n")
    sys.exit(3)

if __name__ == "__main__":
    raise_on_interrupt()
    leave_process(main())
