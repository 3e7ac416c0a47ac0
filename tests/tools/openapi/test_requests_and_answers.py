"""Requests as they arrive at a real server, and what becomes of its answers: good, broken or hostile ones."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import NotSent, Refused
from core.ports import Call, Certainty
from tests.exploring import examples
from tests.tools.openapi.serving import TOKEN, loaded, serving
from tests.tools.web import refusing
from tools.openapi.loading import LoadedSource
from tools.openapi.tool import OpenApiTool

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
OK: dict[str, Any] = {"responses": {"200": {"description": "ok"}}}
PARAMETERS = [
    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
    {"name": "ids", "in": "query", "explode": False, "schema": {"type": "array", "items": {"type": "integer"}}},
    {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
]
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["id", "amount"],
    "properties": {"id": {"type": "integer"}, "amount": {"type": "number"}, "deep": {"type": "object"}},
}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


def content(schema: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "x", "version": "1"},
    "paths": {
        "/things/{id}": {
            "get": {"operationId": "look", "parameters": PARAMETERS, **OK},
            "post": {
                "operationId": "act",
                "parameters": PARAMETERS[:1],
                "requestBody": {"required": True, **content(BODY)},
                **OK,
            },
        },
        "/named": {
            "get": {"operationId": "name", "responses": {"200": {"description": "ok", **content(NAMED)}}},
            "post": {"operationId": "rename", "responses": {"2XX": {"description": "ok", **content(NAMED)}}},
            "head": {"operationId": "peek", **OK},
        },
        "/form": {
            "post": {
                "operationId": "fill",
                "requestBody": content(
                    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "object"}, "c": {}}},
                    "application/x-www-form-urlencoded",
                ),
                **OK,
            }
        },
    },
}
CONTRACTS = {"name": {"timeout": "2s"}, "rename": {"timeout": "2s"}}


def call(**changes: Any) -> Call:
    fields: dict[str, Any] = {"key": "key-1", "task_id": "t", "step_id": "s1", "attempt": 1}
    return Call(deadline=datetime.now(UTC) + timedelta(seconds=30), **fields | changes)


@asynccontextmanager
async def desk(tmp_path: Path, answer: Answer, **table: Any) -> AsyncIterator[tuple[LoadedSource, list[web.Request]]]:
    """Serve whatever `answer` says on every path; yields the loaded document and the requests that arrived."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    async with serving(app) as address:
        source = loaded(address, tmp_path, **{"contracts": CONTRACTS, **table})
        try:
            yield source, seen
        finally:
            await source.aclose()


def saying(status: int = 200, body: str | bytes = b"{}", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        kind = {"Content-Type": "application/json"}
        return web.Response(
            status=status, body=data, headers=kind | {k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


async def send(tool: OpenApiTool, args: dict[str, Any] | None = None, **changes: Any) -> Any:
    return await tool.send(call(**changes), tool.check(args or {}))


async def failure(tool: OpenApiTool, args: dict[str, Any] | None = None) -> tuple[Certainty, str, str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is is sorted below
        await send(tool, args)
    found = tool.sort(caught.value)
    assert TOKEN not in found.message
    return found.certainty, found.code, found.message


# ------------------------------------------------------------------------------------------------------------ requests


async def test_arguments_go_where_the_document_says(tmp_path: Path) -> None:
    async with desk(tmp_path, saying()) as (source, seen):
        args = {
            "id": "a/b?c#d é",
            "tags": ["x&y", "z=1"],
            "ids": [1, 2],
            "filter": {"since": "2026-01-01", "n": 5},
            "X-Trace": "t-1",
        }
        await send(source.tools["look"], args)
    assert seen[0].raw_path == (
        "/things/a%2Fb%3Fc%23d%20%C3%A9?tags=x%26y&tags=z%3D1&ids=1,2&filter[n]=5&filter[since]=2026-01-01"
    )
    assert seen[0].headers["X-Trace"] == "t-1"
    assert "Idempotency-Key" not in seen[0].headers


async def test_name_that_stands_twice_is_told_apart_and_said(tmp_path: Path) -> None:
    async with desk(tmp_path, saying()) as (source, seen):
        tool = source.tools["act"]
        assert set(tool.contract.args_schema["properties"]) == {"path_id", "body_id", "amount", "deep"}
        assert "`path_id` is 'id' in the path" in tool.contract.description
        await send(tool, {"path_id": "p", "body_id": 5, "amount": 2.0, "deep": {"b": [1], "a": None}})
        assert seen[0].path == "/things/p"
        assert await seen[0].read() == b'{"amount":2,"deep":{"a":null,"b":[1]},"id":5}'
        assert seen[0].headers["Idempotency-Key"] == "key-1"


async def test_form_is_written_as_forms_are(tmp_path: Path) -> None:
    async with desk(tmp_path, saying()) as (source, seen):
        await send(source.tools["fill"], {"a": "x y&z", "b": {"k": 1}, "c": ["p", True]})
        assert await seen[0].read() == b"a=x%20y%26z&b[k]=1&c=p&c=true"
        assert seen[0].content_type == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "'id' is a required property"),
        ({"id": ".."}, "'..' cannot stand in a path"),
        ({"id": ""}, "'' cannot stand in a path"),
        ({"id": "x", "X-Trace": "a\r\nHost: evil"}, "only printable ASCII can stand in a header"),
        ({"id": "x", "tags": [None]}, "/tags/0: None is not of type 'string'"),
        ({"id": "x", "filter": {"a": {"b": 1}}}, "null, arrays and objects cannot stand in a query value"),
        ({"id": "x", "nope": 1}, "there is no such argument: nope"),
        ({"id": "x" * 2_000_000}, "bytes, and at most 1,048,576 are sent"),
        ({"id": "\ud800"}, "no canonical JSON"),
        ({"id": 5}, "/id: 5 is not of type 'string'"),
    ],
)
async def test_argument_that_cannot_be_sent_is_refused_before(tmp_path: Path, args: dict[str, Any], said: str) -> None:
    async with desk(tmp_path, saying()) as (source, seen):
        with pytest.raises(Refused, match="look: ") as caught:
            source.tools["look"].check(args)
        assert caught.value.code == "bad_arguments"
        assert said in caught.value.message
        assert seen == []


@pytest.fixture
def look(tmp_path: Path) -> OpenApiTool:
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    return loaded("http://127.0.0.1:9/base", tmp_path).tools["look"]


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(max_size=40) | st.sampled_from(["../..", "%2e%2e", "..;", "a\x00b", "//evil.example", "@evil"]))
def test_no_text_in_a_path_reaches_another_path(look: OpenApiTool, value: str) -> None:
    try:
        args = look.check({"id": value})
    except Refused:
        return
    url = look.endpoint.request(args, "k").url
    assert url.startswith("http://127.0.0.1:9/base/things/")
    assert url.count("/") == 5
    assert url.isascii()
    assert not set("?#\\ ") & set(url)


# ------------------------------------------------------------------------------------------------------------- answers


async def test_answer_that_fits_is_the_result(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(body='{"name": "x", "more": 1}')) as (source, _):
        assert await send(source.tools["name"]) == {"name": "x", "more": 1}


BROKEN: list[tuple[Answer, str]] = [
    (saying(body='{"name": 5}'), "does not fit the document's schema: /name: 5 is not of type 'string'"),
    (saying(body="[1]"), "does not fit the document's schema: [1] is not of type 'object'"),
    (saying(body='{"name": '), "is not JSON"),
    (saying(body=b"\xff\xfe\xfd"), "is not JSON"),
    (saying(body="[" * 100_000), "is not JSON"),
    (saying(body='{"name": "x", "n": 1e999}'), "has no canonical JSON"),
    (saying(body='{"name": "' + "x" * 5_000_000 + '"}'), "has more than 4,194,304 bytes"),
    (saying(body=gzip.compress(b"{}"), Content_Encoding="gzip"), "it is encoded, though that was not asked for"),
]


@pytest.mark.parametrize(("answer", "problem"), BROKEN, ids=[problem[:30] for _, problem in BROKEN])
async def test_success_of_a_write_is_a_success_whatever_its_body(tmp_path: Path, answer: Answer, problem: str) -> None:
    async with desk(tmp_path, answer) as (source, seen):
        result = await send(source.tools["rename"])
        assert result["opaque"] == "response"
        assert problem in result["problem"]
        assert len(seen) == 1
        assert len(json.dumps(result)) < 5_000


async def test_empty_success_of_a_write_is_a_success(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(204, b"")) as (source, _):
        assert await send(source.tools["act"], {"path_id": "p", "body_id": 1, "amount": 1}) is None


@pytest.mark.parametrize("kind", ["cut", "slow"])
async def test_body_that_breaks_off_after_a_success_costs_a_write_nothing(tmp_path: Path, kind: str) -> None:
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"name": ')
        if kind == "slow":
            await asyncio.wait_for(released.wait(), 20)
        elif request.transport is not None:
            request.transport.close()
        return response

    async with desk(tmp_path, answer) as (source, seen):
        result = await send(source.tools["rename"])
        assert result["problem"].startswith("it broke off after 9 bytes")
        certainty, _, _ = await failure(source.tools["name"])  # a read has nothing to show for it
        assert certainty is Certainty.UNKNOWN
        assert len(seen) == 2
        released.set()


async def test_read_whose_answer_is_too_large_is_a_definite_no(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(body=b"x" * 2_000), response_bytes=1_000) as (source, _):
        assert (await failure(source.tools["name"]))[:2] == (Certainty.REFUSED, "response_too_large")


async def test_head_brings_status_and_headers(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(body=b"", ETag='"v1"')) as (source, _):
        result = await send(source.tools["peek"])
        assert (result["status"], result["headers"]["ETag"]) == (200, '"v1"')


async def test_headers_that_the_table_names_are_part_of_the_result(tmp_path: Path) -> None:
    answer = saying(body='{"name": "x"}', ETag='"v1"')
    async with desk(tmp_path, answer, contracts={"name": {"headers": ["ETag"]}}) as (source, _):
        result = await send(source.tools["name"])
        assert result == {"body": {"name": "x"}, "headers": {"ETag": '"v1"'}}


@pytest.mark.parametrize(
    ("status", "certainty", "code"),
    [
        (400, Certainty.REFUSED, "http_400"),
        (409, Certainty.UNKNOWN, "http_409"),
        (429, Certainty.NOT_SENT, "rate_limited"),
        (500, Certainty.UNKNOWN, "http_500"),
        (303, Certainty.UNKNOWN, "http_303"),
        (307, Certainty.UNKNOWN, "http_307"),
        (600, Certainty.UNKNOWN, "http_600"),
    ],
)
async def test_status_is_sorted_by_the_default_rules(
    tmp_path: Path, status: int, certainty: Certainty, code: str
) -> None:
    async with desk(tmp_path, saying(status, '{"why": "because"}', Location="/things/2")) as (source, seen):
        assert (await failure(source.tools["rename"]))[:2] == (certainty, code)
        assert len(seen) == 1


async def test_refused_connection_is_certainly_not_sent(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    with refusing() as port:
        source = loaded(f"http://127.0.0.1:{port}", tmp_path)
        assert (await failure(source.tools["rename"]))[:2] == (Certainty.NOT_SENT, "connect_failed")
        await source.aclose()


ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda status, headers, body: b"HTTP/1.1 %b OK\r\n%b\r\n%b" % (status, headers, body),
        st.sampled_from([b"200", b"201", b"204", b"304", b"404", b"500", b"999", b"-1", b"100", b"abc"]),
        st.sampled_from(
            [
                b"",
                b"Content-Length: 5\r\n",
                b"Content-Length: -5\r\n",
                b"Content-Length: 99999999999999999999\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: gzip, chunked\r\n",
                b"Content-Type: application/json\r\n",
                b"Content-Type: \xff\xff\r\n",
                b"Location: http://[::1\r\n",
                b"Retry-After: NaN\r\n",
                b"X: " + b"y" * 200_000 + b"\r\n",
                b"no colon\r\n",
            ]
        ),
        st.binary(max_size=100)
        | st.sampled_from([b'{"name": "x"}', b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\n"]),
    ),
)


class Parrot:
    """A raw server that answers every request with the bytes of the moment, and counts."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # a client that had no time left says nothing
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            writer.write(self.answer)
        writer.close()


@dataclass
class Stage:
    """A parrot, the tools that talk to it, and the loop in which both live."""

    loop: asyncio.Runner
    parrot: Parrot
    tools: Mapping[str, OpenApiTool]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    parrot = Parrot()
    with asyncio.Runner() as loop:
        server = loop.run(asyncio.start_server(parrot, "127.0.0.1", 0))
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        source = loaded(address, tmp_path, contracts=CONTRACTS)
        yield Stage(loop, parrot, source.tools)
        loop.run(source.aclose())
        server.close()


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=ANSWERS, name=st.sampled_from(["name", "rename"]))
def test_whatever_bytes_come_back_one_request_is_made_and_the_outcome_has_a_name(
    stage: Stage, raw: bytes, name: str
) -> None:
    stage.parrot.answer, stage.parrot.requests = raw, 0
    tool = stage.tools[name]
    outcome = stage.loop.run(_outcome(tool))
    if isinstance(outcome, Exception):
        found = tool.sort(outcome)
        assert stage.parrot.requests == (found.certainty is not Certainty.NOT_SENT)
        if found.certainty is Certainty.NOT_SENT:
            return
        is_an_answer = found.code.startswith(("http_4", "redirect_not_allowed"))
        assert is_an_answer or found.certainty is Certainty.UNKNOWN
    else:
        assert stage.parrot.requests == 1
        assert json.dumps(outcome)


async def _outcome(tool: OpenApiTool) -> Any:
    try:
        return await tool.send(call(), {})
    except Exception as error:  # noqa: BLE001 - any error has to be sorted
        return error


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_secret_that_the_server_echoes_is_taken_out(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        status = 400 if request.method == "POST" else 200
        return web.json_response({"name": request.headers["Authorization"]}, status=status)

    async with desk(tmp_path, echo) as (source, _):
        assert await send(source.tools["name"]) == {"name": "Bearer [secret]"}
        _, _, message = await failure(source.tools["rename"])
        assert "Bearer [secret]" in message


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"header": "X-Api-Key", "env": "BILLING_TOKEN"}, ("X-Api-Key", TOKEN)),
        (
            {"username_env": "BILLING_TOKEN", "password_env": "BILLING_TOKEN"},
            ("Authorization", "Basic dDBrZW4tb2YtdGhlLWJpbGxpbmctZGVzazp0MGtlbi1vZi10aGUtYmlsbGluZy1kZXNr"),
        ),
    ],
)
async def test_header_authenticates(tmp_path: Path, auth: dict[str, str], sent: tuple[str, str]) -> None:
    async with desk(tmp_path, saying(body='{"name": ""}'), auth=auth) as (source, seen):
        await send(source.tools["name"])
        assert seen[0].headers[sent[0]] == sent[1]


async def test_query_parameter_authenticates_and_is_in_no_message(tmp_path: Path) -> None:
    auth = {"query": "api_key", "env": "BILLING_TOKEN"}
    async with desk(tmp_path, saying(500), auth=auth) as (source, seen):
        _, _, message = await failure(source.tools["rename"])
        assert seen[0].query["api_key"] == TOKEN
        assert "POST /named" in message


async def test_secret_that_is_not_set_means_that_nothing_was_sent(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(), auth={"bearer_env": "NO_SUCH_VARIABLE"}) as (source, seen):
        assert source.missing() == ["NO_SUCH_VARIABLE"]
        with pytest.raises(NotSent, match="NO_SUCH_VARIABLE is not set"):
            await send(source.tools["name"])
        assert seen == []


async def test_cookies_are_not_carried_from_call_to_call(tmp_path: Path) -> None:
    async with desk(tmp_path, saying(body='{"name": ""}', Set_Cookie="session=1")) as (source, seen):
        await send(source.tools["name"])
        await send(source.tools["name"])
        assert [request.cookies for request in seen] == [{}, {}]
