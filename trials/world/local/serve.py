"""Serve a model with llama.cpp on loopback until the process is ended: ``serve.py MODEL.gguf PORT SEED``.

A script of its own, run by the Python that has xllamacpp.
"""

import sys
import threading

import xllamacpp  # type: ignore[import-not-found] # lives in an environment of its own

CONTEXT = 8192
"""Tokens: what SmolLM2 was trained for."""

THREADS = 1
"""They wait for one another after every layer: on a machine that others use too, two are slower than one."""

MATCHED, GUESSED = 8, 24
"""Tokens. What repeats the last 8 is taken for a repetition, and the next 24 are checked at once; a small model says
much twice, or after the prompt."""


def main(model: str, port: str, seed: str) -> None:
    """Serve one request at a time. How long an answer may be is said by whoever asks."""
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.use_jinja = True
    settings.n_ctx = CONTEXT
    settings.n_parallel = 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = THREADS
    settings.cpuparams.poll = settings.cpuparams_batch.poll = 0
    settings.sampling.seed = int(seed)
    # behind a prompt of 3,300 tokens one token takes 33 ms of a processor without it, 50 ms with it
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    settings.speculative.ngram_simple.size_n, settings.speculative.ngram_simple.size_m = MATCHED, GUESSED
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"serving at {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
