"""Tools of MCP servers: what a server offers, pinned, behind the same port and the same door as any other tool.

::

    agent.toml -> tables.py --+                           session.py   one process or address, one session, shared
    tools.lock -> pins.py  ---+-> source.py -> tool.py ->  stdio.py    lines over pipes
                                               results.py  http.py     streamable HTTP
                                               lookups.py  faults.py   what an error says about the effect

The SDK (`mcp`) is imported when the first session starts, not before.
"""
