"""Taking back: which effects of a task can be undone today, and what a tool's undo is called with."""

from dataclasses import dataclass

from temporalio import activity

from activities.faults import translated
from activities.results import stored_result
from core import names
from core.messages import CallOrder, EffectsListed, EffectsOrder, ToolRefused, Undoable
from core.ports import Agents, Ledger
from core.receipts import Row, RowState

_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Undoing:
    """The activity `list_effects`."""

    agents: Agents
    ledger: Ledger

    @activity.defn(name=names.LIST_EFFECTS)
    async def list_effects(self, order: EffectsOrder) -> EffectsListed:
        """Return what stands of a task and can be taken back, latest first."""
        with translated():
            tools = self.agents.get(order.agent).tools
            standing = _standing(await self.ledger.rows(order.task_id))
            found = [row for row in standing if order.below is None or row.intent < order.below]
            undos = {row.key: undo for row in found if (undo := tools.get(names.undo_of(row.tool))) is not None}
            chosen = _first([row for row in found if row.key in undos])
            effects = tuple(
                Undoable(
                    step=row.step,
                    tool=row.tool,
                    key=row.key,
                    intent=row.intent,
                    terms=undos[row.key].contract.terms(),
                )
                for row in chosen
            )
            return EffectsListed(effects=effects, below=chosen[-1].intent if len(chosen) < len(undos) else None)


def _standing(rows: list[Row]) -> list[Row]:
    """Choose what succeeded and was not (perhaps) undone, latest intent first."""
    undone = {row.undoes for row in rows if row.undoes and row.state is not RowState.CANCELLED and not _failed(row)}
    standing = [row for row in rows if row.state is RowState.SUCCEEDED and row.undoes is None and row.key not in undone]
    return sorted(standing, key=lambda row: row.intent, reverse=True)


def _failed(row: Row) -> bool:
    return row.state is RowState.FAILED and not row.written_off


def _first(rows: list[Row]) -> list[Row]:
    """Take as many as are told at once, and all that share the last one's intent."""
    if len(rows) <= _AT_ONCE:
        return rows
    last = rows[_AT_ONCE - 1].intent
    return [row for row in rows if row.intent >= last]


async def with_arguments(ledger: Ledger, order: CallOrder) -> CallOrder | ToolRefused:
    """Fill in what an undo is called with: the arguments and the result of the effect that it takes back."""
    if not order.undoes:
        return order
    done = await ledger.find(order.undoes)
    if done is None or done.task_id != order.task_id or done.state is not RowState.SUCCEEDED:
        stands = "is not in the ledger" if done is None or done.task_id != order.task_id else f"is {done.state} there"
        message = f"the effect {order.undoes} {stands}, so it is not undone"
        return ToolRefused(step=order.step, code="nothing_to_undo", message=message)
    args = {"args": done.args, "result": await stored_result(ledger, done)}
    origin = {"/args": f"tool:{done.tool}", "/result": f"tool:{done.tool}"}
    return order.model_copy(update={"args": args, "origin": origin, "deferred": ()})
