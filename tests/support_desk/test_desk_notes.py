import pytest

from core.errors import Refused
from core.ports import Call, Certainty
from core.record import Json
from demo.child import free_port
from demo.orders import SeedOrder
from demo.services import Services
from tests.support_desk.desk import Desk, NewOrder, sorted_error
from tools.python_tool import PythonTool

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def add_note(desk: Desk) -> PythonTool:
    return desk["add_customer_note"]


def note_on(order: SeedOrder, text: str = "Refunded 250.00 EUR.") -> dict[str, Json]:
    return {"customer_id": order.customer.id, "order_id": order.id, "text": text}


async def test_note_stands_in_the_crm(
    add_note: PythonTool, call: Call, services: Services, new_order: NewOrder
) -> None:
    order = await new_order()
    result = await add_note.send(call, note_on(order))
    [note] = await services.crm.notes(order.id)
    assert (note.id, note.customer, note.text) == (result["note_id"], order.customer.id, "Refunded 250.00 EUR.")
    assert await add_note.verify(call, note_on(order), result) is True


async def test_note_that_is_sent_again_stands_once(
    add_note: PythonTool, call: Call, services: Services, new_order: NewOrder
) -> None:
    order = await new_order()
    first = await add_note.send(call, note_on(order))
    assert await add_note.send(call, note_on(order)) == first
    assert len(await services.crm.notes(order.id)) == 1


async def test_other_note_under_the_same_id_is_not_taken_for_ours(
    add_note: PythonTool, call: Call, new_order: NewOrder
) -> None:
    order = await new_order()
    result = await add_note.send(call, note_on(order))
    with pytest.raises(Refused) as refusal:
        await add_note.send(call, note_on(order, text="Something else."))
    assert refusal.value.code == "note_differs"
    assert await add_note.verify(call, note_on(order, text="Something else."), result) is False


async def test_note_that_was_never_written_is_not_verified(
    add_note: PythonTool, call: Call, new_order: NewOrder
) -> None:
    assert await add_note.verify(call, note_on(await new_order()), {}) is False


async def test_no_of_the_crm_is_definite(
    add_note: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_CRM_TOKEN", "stale")
    error = await sorted_error(add_note, call, note_on(await new_order()))
    assert (error.certainty, error.code) == (Certainty.REFUSED, "http_403")


async def test_crm_that_is_down_was_sent_nothing(
    add_note: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_CRM", f"http://127.0.0.1:{free_port()}")
    assert (await sorted_error(add_note, call, note_on(await new_order()))).certainty is Certainty.NOT_SENT


@pytest.mark.parametrize("name", ["SUPPORT_DESK_CRM", "SUPPORT_DESK_CRM_TOKEN"])
async def test_missing_setting_is_named(
    add_note: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, " ")
    with pytest.raises(Refused, match=f"{name} "):
        await add_note.send(call, note_on(await new_order()))
