"""Serve a model with llama.cpp on loopback until the process is ended: ``serve.py MODEL.gguf PORT SEED``.

A script of its own, run by the Python that has xllamacpp.
"""

import sys
import threading

import xllamacpp  # type: ignore[import-not-found] # lives in an environment of its own

CONTEXT = 8192
"""Tokens: what SmolLM2 was trained for."""

MOST_TOKENS = 300
"""Of one answer. A model of this size that has not ended by then never does."""


THREADS = 1
"""They wait for one another after every layer: on a machine that others use too, two are slower than one."""


def main(model: str, port: str, seed: str) -> None:
    """Serve one request at a time."""
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.use_jinja = True
    settings.n_ctx = CONTEXT
    settings.n_parallel = 1
    settings.n_predict = MOST_TOKENS
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = THREADS
    settings.cpuparams.poll = settings.cpuparams_batch.poll = 0
    settings.sampling.seed = int(seed)
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"serving at {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
