"""What the trials must show, line by line, and which figures prove it."""

from core.record import Record


class Promise(Record):
    """One line of the table of what must be shown: proven by all figures of `trial` that begin with one of `names`.

    ``beside``: how the baselines begin that stand beside it, "" = none do.
    """

    figure: str
    must_be: str
    trial: str
    names: tuple[str, ...]
    beside: str = ""


PROMISES = (
    Promise(figure="duplicates", must_be="0", trial="storm", names=("duplicates",)),
    Promise(figure="lost", must_be="0", trial="storm", names=("lost",)),
    Promise(figure="false receipts", must_be="0", trial="storm", names=("false receipts",)),
    Promise(figure="phantoms", must_be="0", trial="storm", names=("phantoms",)),
    Promise(figure="wrong payloads", must_be="0", trial="storm", names=("wrong payloads",)),
    Promise(figure="unauthorised", must_be="0", trial="storm", names=("unauthorised",)),
    Promise(figure="stuck", must_be="0", trial="storm", names=("stuck",)),
    Promise(
        figure="open doubts: transactional, idempotent, keyed",
        must_be="0",
        trial="storm",
        names=("open doubts, transactional", "open doubts, idempotent", "open doubts, keyed"),
    ),
    Promise(
        figure="open doubts: probed", must_be="at most the settle time", trial="storm", names=("open doubts, probed",)
    ),
    Promise(
        figure="open doubts: unrepeatable",
        must_be="each with a person named within 60 s",
        trial="storm",
        names=("open doubts, unrepeatable",),
    ),
    Promise(figure="crash cells as in the table", must_be="100 %", trial="crash", names=("crash cells",)),
    Promise(
        figure="states of the protocol, without a violation of G1 to G5",
        must_be="at least 1,000,000, in at most 90 s",
        trial="model",
        names=("violations", "different states", "time of the search"),
    ),
    Promise(figure="mutants of the rules, caught", must_be="all of at least 20", trial="model", names=("mutants",)),
    Promise(
        figure="throughput under the storm / without faults",
        must_be="at least 0.6",
        trial="throughput",
        names=("throughput under the storm",),
    ),
    Promise(
        figure="worker killed while a task is parked, until it moves on",
        must_be="p99 at most 3 s",
        trial="recovery",
        names=("worker killed, parked",),
    ),
    Promise(
        figure="server killed under load: acknowledged starts and signals",
        must_be="all kept",
        trial="recovery",
        names=("server killed under load: acknowledged",),
    ),
    Promise(
        figure="SIGTERM deployments under load",
        must_be="50, 0 duplicates, 0 failed tasks",
        trial="deployments",
        names=("SIGTERM deployments", "duplicates", "stuck", "tasks that ended otherwise"),
    ),
    Promise(figure="one key, 1,000 callers", must_be="1 application", trial="bulk", names=("one key",)),
    Promise(
        figure="refunds with Stripe's SDK, 20 % of the answers lost",
        must_be="0 duplicates, 0 over-refunds",
        trial="world",
        names=("stripe",),
        beside="stripe",
    ),
    *(
        Promise(
            figure=f"tau2's {desk} desk over MCP, 20 % of the answers lost",
            must_be=f"{tasks}/{tasks} end states, each write once, each refusal told once",
            trial="world",
            names=(f"tau2 {desk}: end states", f"tau2 {desk}: writes", f"tau2 {desk}: refusals"),
            beside=f"tau2 {desk}",
        )
        for desk, tasks in (("retail", 114), ("airline", 50), ("telecom", 114))
    ),
    Promise(
        figure="tickets at Roundup by its OpenAPI document, 20 % of the answers lost",
        must_be="0 duplicates",
        trial="world",
        names=("roundup: tickets", "roundup: tasks", "roundup: writes"),
        beside="roundup",
    ),
    Promise(
        figure="planners at llmock, every fault it has",
        must_be="its verdict passes, requests equal attempts, every task ends well or asks",
        trial="world",
        names=("llmock",),
        beside="llmock",
    ),
    Promise(
        figure="a real local model at the support desk",
        must_be="0 effects outside policy, 0 stuck, every bad plan named",
        trial="world",
        names=("local:",),
        beside="local:",
    ),
    Promise(figure="the naive baselines", must_be="duplicates seen", trial="storm", names=("naive", "baseline")),
)
