"""Creating the tables, and refusing those of a later release."""

from sqlalchemy import Connection, insert, select

from core.errors import ConfigError
from ledger.tables import VERSION, metadata, schema


def create_tables(db: Connection, where: str) -> None:
    """Create what is missing and check the version; the caller holds a lock that keeps others out meanwhile."""
    schema.create(db, checkfirst=True)
    version = db.execute(select(schema.c.version)).scalar()
    if version is not None and version > VERSION:
        raise ConfigError(
            f"the ledger {where} was made by a later release (layout {version}, this one knows {VERSION}): "
            "update Lastmile, or point `ledger` to another database"
        )
    if version is None:
        metadata.create_all(db)
        db.execute(insert(schema).values(id=1, version=VERSION))
