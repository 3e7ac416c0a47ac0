"""`make bench`: run the benchmark and print its table."""

import asyncio
import sys

from bench.overhead import main

sys.exit(asyncio.run(main()))
