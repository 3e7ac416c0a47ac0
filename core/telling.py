"""Notices that are to go out; each has an id and a rung and goes out once."""

from core.change import change
from core.task import Request, TaskState, Told


def tell(state: TaskState, request: Request, rung: str, to: tuple[str, ...]) -> TaskState:
    """Tell people about a request."""
    what = f"{request.kind.value} {request.id}" + (f": {request.hint or request.tool}" if request.tool else "")
    title = f"{state.task_id} waits for you ({what})" if rung != "expired" else f"{state.task_id}: {what} has expired"
    lines = [
        request.reason,
        request.why and f"Planner: {request.why}",
        request.expires_at and f"Until {request.expires_at:%Y-%m-%d %H:%M} UTC.",
    ]
    return _add(
        state,
        Told(
            request=request.id,
            rung=rung,
            to=to,
            title=title[:300],
            text="\n".join(str(line)[:2000] for line in lines if line),
        ),
    )


def tell_owner(state: TaskState, rung: str, text: str) -> TaskState:
    """Tell the task's owner something that is no request."""
    owner = (state.profile.owner,) if state.profile else ()
    return _add(
        state, Told(request="task", rung=rung, to=owner, title=f"{state.task_id}: {text}"[:300], text=text[:4000])
    )


def _add(state: TaskState, told: Told) -> TaskState:
    return change(state, told={**state.told, f"{told.request}:{told.rung}": told})
