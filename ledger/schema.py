"""Creating the tables, bringing those of an earlier release up to date, and refusing those of a later one."""

from sqlalchemy import Connection, insert, select, text, update

from core.errors import ConfigError
from ledger.tables import VERSION, metadata, schema, unsettled

# the run of a task's latest effect is a later one of its chain, or a reset: then the first one is over
_TO_2 = (
    "ALTER TABLE lastmile_tasks ADD COLUMN run_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lastmile_tasks ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0",
    """UPDATE lastmile_tasks SET run_id = COALESCE((
           SELECT effect.run_id FROM lastmile_effects AS effect
           WHERE effect.task_id = lastmile_tasks.task_id AND effect.run_id <> ''
             AND effect.opened_at >= lastmile_tasks.opened_at
           ORDER BY effect.seq DESC LIMIT 1
       ), first_run_id)""",
    """INSERT INTO lastmile_runs (task_id, run_id, epoch, opened_at)
       SELECT task_id, first_run_id, 0, opened_at FROM lastmile_tasks
       UNION SELECT task_id, run_id, 0, opened_at FROM lastmile_tasks""",
    "DROP INDEX lastmile_effects_in_flight",
)


def create_tables(db: Connection, where: str) -> None:
    """Create what is missing and check the version; the caller holds a lock that keeps others out meanwhile."""
    schema.create(db, checkfirst=True)
    version = db.execute(select(schema.c.version)).scalar()
    if version is not None and version > VERSION:
        raise ConfigError(
            f"the ledger {where} was made by a later release (layout {version}, this one knows {VERSION}): "
            "update Lastmile, or point `ledger` to another database"
        )
    metadata.create_all(db)  # also what a later release of this layout added: an earlier one does not miss it
    if version is None:
        db.execute(insert(schema).values(id=1, version=VERSION))
    elif version < VERSION:
        _upgrade(db)


def _upgrade(db: Connection) -> None:
    """Bring layout 1 up to layout 2, in the caller's transaction.

    Layout 2 binds a task to one run. Workers of the earlier release should be stopped first: they go on working on the
    upgraded tables, but do not heed what is new in them (epochs, stops).
    """
    for statement in _TO_2:
        db.execute(text(statement))
    unsettled.create(db, checkfirst=True)
    db.execute(update(schema).values(version=VERSION))
