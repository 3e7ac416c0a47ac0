"""What people send to a task by signals, as events; what does not fit is an event too, and changes nothing."""

from core import answers
from core.messages import Event, GoalAmended, NotUnderstood, Paused, PersonAnswered, Resumed
from core.people import Amendment, Remark
from workflows.payloads import Undecodable, read


def heard(form: str, raw: object) -> Event:
    """Read an answer: approve, reject, answer or decide."""
    try:
        return PersonAnswered(form=form, payload=read(raw))
    except Undecodable as error:
        return NotUnderstood(text=f"{form}: {error}")


def read_as(form: str, raw: object, shape: type[Amendment] | type[Remark]) -> Event:
    """Read an amendment, or a remark on pausing and resuming."""
    try:
        said = shape.read(read(raw))
    except (Undecodable, answers.Misfit) as error:
        return NotUnderstood(text=f"{form}: {error}")
    if isinstance(said, Amendment):
        return GoalAmended(goal=said.goal, inputs=said.inputs, by=said.by)
    kind = Paused if form == "pause" else Resumed
    return kind(by=said.by, reason=said.reason)
