"""OpenAPI documents (3.0 and 3.1) as a source of tools: each operation that is wanted becomes a tool behind the door.

::

    agent.toml -> tables.py -----+                          client.py     one connection pool per source and worker
    billing.yaml -> reading.py   +-> loading.py -> tool.py -> transport.py  addresses are checked, then connected to
      -> document.py             |                            request.py    arguments -> method, URL, headers, body
      -> schemas.py, signature.py                             answers.py    status and body -> result, or an error
                                                              lookups.py    probe and verify by another operation

The document says what can be sent; what a call does to the world is said in the table. Nothing here follows a remote
reference, believes an address that was not checked, or repeats a request by itself.
"""
