"""Tells a story on the screen while it happens: a line for each event, with the seconds since the beginning."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.status import Status
from rich.text import Text

from cli.live import Look
from cli.screen import Screen, cut
from core.card import visible
from core.contract import Effect
from core.task import Phase, Step

_NOW = {
    Phase.SUCCEEDED: ("✓", "green"),
    Phase.ASKING: ("?", "yellow"),
    Phase.DOUBTED: ("?", "red"),
    Phase.REFUSED: ("✗", "red"),
    Phase.UNAVAILABLE: ("✗", "red"),
    Phase.SKIPPED: ("-", "dim"),
}


class Teller:
    """Prints events; on a terminal a spinner says what is going on in between."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._began = time.monotonic()
        self._told: set[str] = set()
        self._spinner = Status("", console=screen.out)

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def tell(self, what: str, note: str = "", mark: str = "•", style: str = "cyan") -> None:
        """Say what has happened."""
        head = Text.assemble((f"{self.seconds:5.1f} s  ", "dim"), (f"{mark} ", style), (visible(what), "bold"))
        self.screen.show(head.append(f"  {visible(note)}", style="dim not bold") if note else head)

    def alarm(self, what: str, note: str = "") -> None:
        """Say what has gone wrong."""
        self.tell(what, note, "✗", "bold red")

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Say what is going on, for as long as it lasts."""
        self.expect(doing)
        try:
            yield
        finally:
            self.rest()

    def expect(self, doing: str) -> None:
        """Say what is waited for, until `rest`."""
        if self.screen.is_live:
            self._spinner.update(Text(f" {visible(doing)} …", style="dim"))
            self._spinner.start()

    def rest(self) -> None:
        """Take the spinner away."""
        self._spinner.stop()

    def steps(self, seen: Look) -> None:
        """Tell what has changed about the plan and its steps."""
        state = seen.state
        if state is None:
            return
        if state.steps and self._is_new(f"round {state.round}"):
            tools = " → ".join(step.tool for step in state.steps.values())
            calls = state.spent.planning_calls
            self.tell(f"planned: {tools}", f"{calls} planning call{'' if calls == 1 else 's'}")
        for step in state.steps.values():
            if step.phase in _NOW and self._is_new(f"{step.id} {step.phase}"):
                mark, style = _NOW[step.phase]
                self.tell(*_told(step), mark, style)
        under_way = [step.tool for step in state.steps.values() if step.phase is Phase.CALLING]
        self.expect(f"{', '.join(under_way)} under way" if under_way else state.seen_status.value.lower())

    def _is_new(self, what: str) -> bool:
        is_new = what not in self._told
        self._told.add(what)
        return is_new


def _told(step: Step) -> tuple[str, str]:
    why = cut(step.planned.why, 70)
    match step.phase:
        case Phase.SUCCEEDED if step.terms.effect is Effect.READ:
            return f"{step.tool} answered", why
        case Phase.SUCCEEDED:
            by = f"approved by {', '.join(step.approved_by)}; " if step.approved_by else ""
            return f"{step.tool} done", f"{by}{'confirmed by reading it back' if step.verified else why}"
        case Phase.ASKING:
            return f"{step.tool} needs approval", why
    return f"{step.tool} {step.phase.value}", cut(f"{step.code} {step.message}", 300)  # what to run stands at its end
