"""The one translation of database errors: everything that is the operator's becomes LedgerDown."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from core.errors import LedgerDown

_BAD_DATA = ("22", "23")  # SQLSTATE classes: data exception, integrity violation


@contextmanager
def as_ledger_down(what: str) -> Iterator[None]:
    """Raise LedgerDown for a database that refuses, is gone, full, read-only, or locked for too long.

    ``what`` names the database without its password. Errors in the values we sent are ours, and pass through.
    """
    try:
        yield
    except (OSError, TimeoutError, PoolExhausted) as error:
        raise LedgerDown(f"{what} does not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        if _is_bad_data(error):
            raise
        raise LedgerDown(f"{what} cannot be used now: {_first_line(error.orig)}") from error


def _is_bad_data(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or ""
    ours = isinstance(error.orig and error.orig.__cause__, ValueError)
    return isinstance(error, IntegrityError) or state.startswith(_BAD_DATA) or ours


def _first_line(error: BaseException | None) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
