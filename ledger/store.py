"""How the ledger runs its transactions, whatever the database: a job is a plain function of one connection."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Job = Callable[[Connection], T]


class Store(Protocol):
    """A database that runs jobs. Every method raises LedgerDown; the call after it connects anew.

    Each says where it is to `core.failpoints`, so that a trial can cut the database off before and after a commit.
    """

    async def write(self, job: Job[T]) -> T:
        """Run a job as one durable transaction: committed when this returns, rolled back when the job raises."""
        ...

    async def read(self, job: Job[T]) -> T:
        """Run a job of single reads; each sees what was committed before it."""
        ...

    async def create(self) -> None:
        """Make sure that the tables exist; any number of processes may do so at once. Raises ConfigError."""
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...
