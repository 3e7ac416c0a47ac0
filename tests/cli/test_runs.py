import asyncio

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from cli.tasks import Task
from tests.cli.conftest import CommandLine, Shop

SMALL = ("--input", "what=tea", "--input", "count=2")


async def start_as_the_ui_does(shop: Shop, task_id: str) -> str:
    """Start the id a second time, without `again`, and wait until that run was refused."""
    client = await Client.connect(shop.address, data_converter=pydantic_data_converter)
    wish = {"agent": "shop", "goal": "buy tea", "inputs": {"what": "tea", "count": 2}}
    handle = await client.start_workflow(
        "AgentTask",
        wish,
        id=task_id,
        task_queue="lastmile",
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    try:
        await handle.result()
    except WorkflowFailureError as refused:
        return str(refused.cause)
    raise AssertionError("the second run was not refused")


async def reset_to_the_start(shop: Shop, task_id: str) -> str:
    client = await Client.connect(shop.address)
    described = await Task(client, task_id).describe()
    execution = WorkflowExecution(workflow_id=task_id, run_id=described.run_id)
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=execution,
        reason="a test",
        workflow_task_finish_event_id=3,
        request_id=task_id,
    )
    return (await client.workflow_service.reset_workflow_execution(request)).run_id


def test_start_that_was_refused_does_not_hide_the_run_that_counts(cli: CommandLine, shop: Shop) -> None:
    assert cli("run", "shop", "buy tea", "--id", "twice-1", *SMALL, "--wait").code == 0
    assert "has run before" in asyncio.run(start_as_the_ui_does(shop, "twice-1"))
    listed = [one for one in cli("ls", "--json").json if one["task_id"] == "twice-1"]
    assert [(one["status"], one["agent"]) for one in listed] == [("COMPLETED", "shop")]
    shown = cli("show", "twice-1", "--json").json
    assert (shown["status"], shown["result"]["answer"]) == ("COMPLETED", "Bought 2 tea.")
    report = cli("audit", "twice-1", "--json").json
    assert (report["status"], len(report["runs"])) == ("COMPLETED", 2)
    assert [step["tool"] for step in report["steps"]] == ["look_up", "buy"]
    assert shop.bought("twice-1") == ["tea 2"]
    rows = [one for one in cli("ls", "--json", "--limit", "1000").json if one["task_id"] == "twice-1"]
    assert [one["status"] for one in rows] == ["COMPLETED"]
    failed = cli("ls", "--json", "--limit", "1000", "--status", "FAILED").json
    assert "twice-1" not in [one["task_id"] for one in failed]


def test_audit_names_the_runs_of_a_task_that_ran_again(cli: CommandLine) -> None:
    cli("run", "shop", "buy tea", "--id", "twice-2", *SMALL, "--wait")
    cli("run", "shop", "buy tea", "--id", "twice-2", *SMALL, "--again", "--wait")
    report = cli("audit", "twice-2", "--json").json
    assert [run["how"] for run in report["runs"]] == ["first", "again"]
    assert "was run again; completed at" in cli("audit", "twice-2").out


def test_task_that_ran_again_is_listed_once_as_its_newest_run_stands(cli: CommandLine) -> None:
    for more in ((), ("--again",)):
        assert cli("run", "shop", "buy tea", "--id", "twice-4", *SMALL, *more, "--wait").code == 0
    (listed,) = [one for one in cli("ls", "--json").json if one["task_id"] == "twice-4"]
    first, again = cli("audit", "twice-4", "--json").json["runs"]
    assert first["ended_at"] < listed["started_at"] <= again["ended_at"]
    newest = cli("ls", "--limit", "1", "--json").json
    assert [one["task_id"] for one in newest] == [cli("ls", "--json").json[0]["task_id"]]


def test_task_that_still_runs_is_not_run_again(cli: CommandLine) -> None:
    cli("run", "asker", "colour it", "--id", "twice-3")
    ran = cli("run", "asker", "colour it", "--id", "twice-3", "--again")
    assert ran.code == 1
    assert "still runs" in ran.err
    cli("cancel", "twice-3")


def test_reset_task_asks_its_owner_and_its_audit_tells_shared_events_once(cli: CommandLine, shop: Shop) -> None:
    cli("run", "shop", "buy tea", "--id", "reset-1", *SMALL, "--wait")
    asyncio.run(reset_to_the_start(shop, "reset-1"))
    waiting = cli("show", "reset-1", "--json")
    for _ in range(100):
        if waiting.json.get("requests"):
            break
        waiting = cli("show", "reset-1", "--json")
    (request,) = waiting.json["requests"]
    assert request["kind"] == "stuck"
    assert "r1.buy buy (succeeded)" in request["reason"]
    assert cli("answer", "reset-1", "end", "--by", "leo").code == 0
    cli("watch", "reset-1")
    report = cli("audit", "reset-1", "--json").json
    assert [run["how"] for run in report["runs"]] == ["first", "reset"]
    assert [step["tool"] for step in report["steps"]].count("buy") == 1
    assert shop.bought("reset-1") == ["tea 2"]
