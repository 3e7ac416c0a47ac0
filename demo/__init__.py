"""The world that `make demo` acts on: a payment provider, a mail server, a CRM and a shop, all on loopback.

Real programs with real state, started beside the worker and counted at the end. Nothing in the product imports this.
"""
