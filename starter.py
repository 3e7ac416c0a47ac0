"""The command line of Lastmile: ``python starter.py --help``. The verbs are in `cli`."""

from cli.leaving import leave_process
from cli.main import main

if __name__ == "__main__":
    leave_process(main())
