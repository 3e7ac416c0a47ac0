"""Files of SQLite: what is committed in one process stands for all others, whatever else opens the file."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from ledger.sqlite import prepare_file

_PATIENCE = timedelta(seconds=5)
_READ = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT body FROM notes').fetchall())"


def read_by_another_process(path: Path) -> str:
    return subprocess.run([sys.executable, "-c", _READ, path], check=True, capture_output=True, text=True).stdout


def test_preparing_a_file_again_loses_nothing_that_is_written_to_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    prepare_file(path, _PATIENCE)
    with closing(sqlite3.connect(path, isolation_level=None)) as ours:
        ours.execute("CREATE TABLE notes (body)")
        prepare_file(path, _PATIENCE)
        assert read_by_another_process(path).strip() == ""
        ours.execute("INSERT INTO notes VALUES ('kept')")
        assert "kept" in read_by_another_process(path)
