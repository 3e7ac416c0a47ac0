"""One agent, built out of its folder: agent.toml, the instructions, the tools, the rules."""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from config.agent_file import NAME, AgentFile
from config.document import Document, read_document, read_text, suggest, together
from config.openapi_table import OpenApiTables
from config.settings import Settings
from core.budget import BYTES_PER_TOKEN
from core.contract import Contract
from core.errors import ConfigError
from core.ports import Agent, Tool, ToolSource
from core.profile import Ladder, Limits, Model, Profile
from policy.conditions import Conditions
from policy.expression import ExpressionFaults
from policy.rules import Rule, Rules
from tools.registry import load_tools

_SCRIPTED = "scripted:"


def load_agent(folder: Path, settings: Settings) -> Agent:
    """Load the agent in a folder; its name is that of the folder. Raises ConfigError with all faults that show."""
    document = read_document(folder / NAME)
    file = document.parse(AgentFile)
    build = _Build(folder, document, file, settings)
    return build.agent()


class _Build:
    """Gathers the parts of one agent, and the faults in them, so that one run shows them all."""

    def __init__(self, folder: Path, document: Document, file: AgentFile, settings: Settings) -> None:
        self._name = folder.name
        self._folder = folder
        self._document = document
        self._file = file
        self._settings = settings
        self._faults: list[str] = []
        self._sources: list[ToolSource] = []

    def agent(self) -> Agent:
        tools = self._with_openapi(self._tools())
        instructions = self._instructions()
        route = tuple(self._model(number, name) for number, name in enumerate(self._file.models))
        rules, done = self._rules(), self._done()
        self._check_rules(tools)
        if self._faults or rules is None or done is None:
            raise together(self._faults)
        contracts = [tool.contract for tool in tools.values() if tool.contract.undoes is None]
        profile = self._profile(route, _tokens(instructions, contracts))
        return Agent(self._name, instructions, profile, tools, rules, done, tuple(self._sources))

    def _tools(self) -> Mapping[str, Tool]:
        try:
            return load_tools(self._name, self._folder, self._file.tools)
        except ConfigError as error:
            self._faults.append(str(error))
            return {}

    def _with_openapi(self, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
        tables = OpenApiTables(self._document, self._folder, os.environ)
        found = tables.load(self._file.openapi, list(tools))
        self._faults += tables.faults
        self._sources += tables.sources
        return {**tools, **found}

    def _instructions(self) -> str:
        try:
            return read_text(self._folder / self._file.instructions)
        except ConfigError as error:
            self._faults.append(self._document.fault(("instructions",), str(error)))
            return ""

    def _model(self, number: int, name: str) -> Model:
        """Take prices out of the settings; the path of a script starts at the agent's folder."""
        listed = self._settings.models.get(name)
        if name.startswith(_SCRIPTED):
            path = (self._folder / name.removeprefix(_SCRIPTED)).absolute()
            if not _exists(path):
                self._faults.append(self._document.fault(("models", number), f"there is no script {path}"))
            name = f"{_SCRIPTED}{path}"
        if listed is None:
            return Model(name=name)
        prices = listed.model_dump(include={"input_usd_per_mtok", "output_usd_per_mtok"})
        return Model(name=name, **prices)

    def _rules(self) -> Rules | None:
        try:
            return Rules(self._name, self._file.policy, undoes=bool(self._file.undo.on))
        except ExpressionFaults as error:
            self._faults.extend(self._located(error))
            return None

    def _done(self) -> Conditions | None:
        try:
            return Conditions(self._file.done.require)
        except ExpressionFaults as error:
            self._faults.extend(self._located(error))
            return None

    def _located(self, error: ExpressionFaults) -> list[str]:
        return [self._document.fault(fault.place, fault.problem) for fault in error.faults]

    def _check_rules(self, tools: Mapping[str, Tool]) -> None:
        for number, rule in enumerate(self._file.policy):
            if tools and not _is_pattern(rule.tool) and rule.tool not in tools:
                problem = f"there is no tool {rule.tool!r}{suggest(rule.tool, list(tools))}"
                self._faults.append(self._document.fault(("policy", number, "tool"), problem))
            self._check_quorum(number, rule)

    def _check_quorum(self, number: int, rule: Rule) -> None:
        """Refuse a quorum that can never be reached; a role that nobody holds yet may be meant for later."""
        holders = {name for approver in rule.approvers for name in self._holders(approver)}
        if all(self._holders(approver) for approver in rule.approvers) and 0 < len(holders) < rule.quorum:
            who = ", ".join(sorted(holders))
            problem = f"{rule.quorum} people have to approve, and only {len(holders)} may: {who}"
            self._faults.append(self._document.fault(("policy", number, "quorum"), problem))

    def _profile(self, route: tuple[Model, ...], prompt_tokens: int) -> Profile:
        file = self._file
        mentioned = chain([file.owner], file.approvals.escalate_to, *(rule.approvers for rule in file.policy))
        return Profile(
            agent=self._name,
            owner=file.owner,
            route=route,
            limits=Limits.model_validate(file.limits.model_dump()),
            ladder=Ladder.model_validate(file.approvals.model_dump()),
            people={who: self._holders(who) for who in dict.fromkeys(mentioned)},
            trust=self._settings.trust,
            undo_on=file.undo.ends(),
            rereads=True,
            prompt_tokens=prompt_tokens,
        )

    def _holders(self, who: str) -> tuple[str, ...]:
        """Resolve a role or a name: a person stands for themselves, and a role for those who hold it."""
        return tuple(name for name, person in self._settings.people.items() if name == who or who in person.roles)


def _is_pattern(tool: str) -> bool:
    return any(sign in tool for sign in "*?[")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False


def _tokens(instructions: str, contracts: Sequence[Contract]) -> int:
    """Estimate the part of the prompt that does not change."""
    shown = [[tool.name, tool.description, tool.args_schema, tool.result_schema] for tool in contracts]
    return (len(instructions.encode()) + len(json.dumps(shown).encode())) // BYTES_PER_TOKEN
