"""`make bench`: run the benchmarks and print their tables."""

import asyncio
import sys

from bench import mcp_call, overhead


async def main() -> int:
    """Run one after the other; what one of them has to complain of does not stop the other."""
    return max(await overhead.main(), await mcp_call.main())


sys.exit(asyncio.run(main()))
