"""Receipts, approvals, blobs and audit lines in SQL. No policy here, and nothing is sent from here."""

from ledger.memory import MemoryLedger
from ledger.opening import open_ledger
from ledger.sql import SqlLedger
from ledger.transactions import ToolDatabases

__all__ = ["MemoryLedger", "SqlLedger", "ToolDatabases", "open_ledger"]
