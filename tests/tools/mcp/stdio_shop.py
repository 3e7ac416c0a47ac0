"""The shop over stdio: run as a program in the folder of the shop."""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FLOOD = 3 * 1024 * 1024


def load_shop() -> Any:
    spec = importlib.util.spec_from_file_location("shop", Path(__file__).with_name("shop.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(line: str) -> None:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.flush()


def carry_out(fate: str) -> None:
    match fate:
        case "die_before" | "die_after":
            sys.stderr.write("out of memory\n")
            sys.stderr.flush()
            os._exit(9)
        case "stop_reading":
            time.sleep(3600)
        case "hang":
            return
    raise AssertionError(fate)


def main() -> None:
    folder = Path.cwd()
    (folder / "environ.json").write_text(json.dumps(dict(os.environ)))
    if (folder / "flood").exists():
        sys.stderr.write("x" * FLOOD)
        sys.stderr.flush()
    if (folder / "dies_at_start").exists():
        sys.stderr.write("no licence found\n")
        sys.exit(3)
    shop = load_shop().Shop(folder)
    for line in sys.stdin:
        match shop.answer(json.loads(line)):
            case None:
                continue
            case {"fate": fate}:
                carry_out(fate)
            case {"instead": text}:
                write(text)
            case {"also": text, "answer": answer}:
                write(text)
                write(json.dumps(answer))
            case answer:
                write(json.dumps(answer))


if __name__ == "__main__":
    main()
