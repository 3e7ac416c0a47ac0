"""A step of a task as data: from the plan through the door to its receipt."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from core.contract import Terms
from core.messages import Kept, Ruling
from core.plan import PlannedStep
from core.receipts import Approval
from core.record import Json, Message
from core.references import INPUTS


class Phase(StrEnum):
    """Where a step is. Open until one of the last five."""

    PLANNED = "planned"
    CALLING = "calling"
    ASKING = "asking"
    DOUBTED = "doubted"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    DROPPED = "dropped"
    SKIPPED = "skipped"

    @property
    def is_open(self) -> bool:
        """Whether something may still happen with the step."""
        return self in (Phase.PLANNED, Phase.CALLING, Phase.ASKING, Phase.DOUBTED)


class Step(Message):
    """One step of a round, from plan to receipt.

    ``intent`` and ``revision`` make the key (with namespace, task and tool); ``entry`` counts visits to the door.
    ``needs``: full ids of the steps that must have succeeded. ``edited``: arguments that a person put in place of the
    planned ones. ``tried``: tools that were unavailable and whose fallback this is, first to last.
    ``forgotten``: the result was too large to be carried on; the ledger has it, references to it have no value.
    ``seen_at``: when it last succeeded. ``rereads``: how often reads were made again for this write, since it was last
    on its way; ``outdated``: how often they grew old while it waited at the door. ``receipt``: an answer that the
    ledger has yet to store. ``undoes``: key of the effect it takes back. ``evidence``: what a success rests on; "" =
    the provider's own answer.
    """

    id: str
    planned: PlannedStep
    terms: Terms
    needs: tuple[str, ...] = ()
    intent: int
    revision: int = 1
    entry: int = 1
    key: str
    phase: Phase = Phase.PLANNED
    edited: dict[str, Json] | None = None
    edited_by: str = ""
    edited_origin: dict[str, str] = {}
    approvals: tuple[Approval, ...] = ()
    ruling: Ruling | None = None
    result: Json = None
    blob: str | None = None
    size: int = 0
    preview: str = ""
    forgotten: bool = False
    already: bool = False
    of: str = ""
    verified: bool | None = None
    approved_by: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    outcome: Literal["", "succeeded", "failed", "unknown"] = ""
    tried: tuple[str, ...] = ()
    seen_at: datetime | None = None
    rereads: int = 0
    outdated: int = 0
    receipt: Kept | None = None
    undoes: str = ""
    evidence: str = ""

    def full_id(self, name: str) -> str:
        """Write the step of a reference in the arguments with its round; ``inputs`` stays as it is."""
        return name if name == INPUTS or "." in name else f"{self.id.partition('.')[0]}.{name}"

    @property
    def tool(self) -> str:
        """Name of the tool."""
        return self.planned.tool
