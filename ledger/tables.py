"""The ledger's tables. Names carry a prefix, since the database may be shared with others.

``effects`` holds one row per intended effect, ``approvals`` one per consumed answer, ``totals`` what calls reserve of a
capped sum, ``blobs`` results that are too large for a row, ``lines`` the audit, ``tasks`` what each task is bound to,
``runs`` every run that a task was ever bound to, ``stops`` the kill switches that are on, ``visits`` how often attempts
began that never ended, ``calls`` one row per attempt at a model call, ``breakers`` the providers that failed last time.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

from ledger.columns import Instant, JsonText, Words

VERSION = 2
"""Version of this layout; goes up when an older release could not work with the tables any more."""

metadata = MetaData()

schema = Table(
    "lastmile_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

_serial = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself in SQLite

effects = Table(
    "lastmile_effects",
    metadata,
    Column("seq", _serial, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("task_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("intent", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("agent", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("effect", String(16), nullable=False),
    Column("contract_digest", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("similarity", String(64), nullable=False),
    Column("args", JsonText, nullable=False),
    Column("origin", JsonText, nullable=False),
    Column("repeat_of", Text),
    Column("undoes", String(64)),
    Column("run_id", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("sends", Integer, nullable=False, default=0),
    Column("doubtful", Boolean, nullable=False, default=False),
    Column("marked_at", Instant),
    Column("first_marked_at", Instant),
    Column("send_deadline", Instant),
    Column("code", Words, nullable=False, default=""),
    Column("message", Words, nullable=False, default=""),
    Column("result", JsonText),
    Column("blob", String(64)),
    Column("size", BigInteger, nullable=False, default=0),
    Column("verified", Boolean),
    Column("evidence", String(16)),
    Column("approved_by", JsonText, nullable=False, default=()),
    Column("written_off", Boolean, nullable=False, default=False),
    Column("opened_at", Instant, nullable=False),
    Column("settled_at", Instant),
)
Index("lastmile_effects_similar", effects.c.task_id, effects.c.similarity)
_is_undo = effects.c.undoes.is_not(None)
Index("lastmile_effects_undoes", effects.c.undoes, sqlite_where=_is_undo, postgresql_where=_is_undo)
_is_open = text("state IN ('IN_FLIGHT', 'IN_DOUBT', 'NEEDS_PERSON')")  # as `rows` writes it, or SQLite sees no match
unsettled = Index("lastmile_effects_unsettled", effects.c.lease_until, sqlite_where=_is_open, postgresql_where=_is_open)

approvals = Table(
    "lastmile_approvals",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("answers", JsonText, nullable=False),
    Column("consumed_at", Instant, nullable=False),
)

totals = Table(
    "lastmile_totals",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("key", String(64), primary_key=True, index=True),
    Column("amount", BigInteger, nullable=False),
)

blobs = Table(
    "lastmile_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("kept_at", Instant, nullable=False),
)

lines = Table(
    "lastmile_lines",
    metadata,
    Column("seq", _serial, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("key", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fields", JsonText, nullable=False),
)
Index("lastmile_lines_of_task", lines.c.task_id, lines.c.seq)

tasks = Table(
    "lastmile_tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("goal", Words, nullable=False),
    Column("inputs", JsonText, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("amendments", Integer, nullable=False),
    Column("first_run_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("again", Boolean, nullable=False),
    Column("opened_at", Instant, nullable=False),
)

runs = Table(
    "lastmile_runs",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("opened_at", Instant, nullable=False),
)

stops = Table(
    "lastmile_stops",
    metadata,
    Column("tool", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("by", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Instant, nullable=False),
)

calls = Table(
    "lastmile_calls",
    metadata,
    Column("seq", _serial, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("task_id", Text, nullable=False),
    Column("chain", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("call", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("day", String(10), nullable=False),
    Column("reserved_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Column("tokens", BigInteger, nullable=False),
    Column("micro_usd", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False, default=0),
    Column("cached_tokens", BigInteger, nullable=False, default=0),
    Column("output_tokens", BigInteger, nullable=False, default=0),
    Column("latency_ms", BigInteger, nullable=False, default=0),
)
# with what is summed up, so that a sum reads the index alone
Index("lastmile_calls_of_agent", calls.c.day, calls.c.agent, calls.c.tokens, calls.c.micro_usd)
Index("lastmile_calls_of_tenant", calls.c.day, calls.c.tenant, calls.c.tokens, calls.c.micro_usd)
Index("lastmile_calls_of_task", calls.c.task_id, calls.c.chain, calls.c.tokens, calls.c.micro_usd)

breakers = Table(
    "lastmile_breakers",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("open_until", Instant),
    Column("reason", Words, nullable=False),
)

visits = Table(
    "lastmile_visits",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("visit", Text, primary_key=True),
    Column("begun", Integer, nullable=False),
)
