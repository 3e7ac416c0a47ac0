"""Results as they are kept: typed, text, images and resources by reference."""

import base64
from typing import Any

import pytest

from tools.mcp.results import EMBEDDED, problem_in, read_answer, to_json

TYPED = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


def kept(schema: Any = None, **raw: Any) -> Any:
    return to_json(read_answer(raw), schema)


def image(size: int) -> dict[str, str]:
    return {"type": "image", "mimeType": "image/png", "data": base64.b64encode(b"x" * size).decode()}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_structured_content_counts_and_is_checked() -> None:
    assert kept(TYPED, content=[], structuredContent={"id": "1"}) == {"id": "1"}
    wrong = kept(TYPED, content=[], structuredContent={"id": 1})
    assert "does not fit the declared output schema: /id: 1 is not of type 'string'" in problem_in(wrong)
    assert "without structured content" in problem_in(kept(TYPED, content=[text("ok")]))


@pytest.mark.parametrize(
    ("words", "result"), [("hello", "hello"), ('{"a": 1}', {"a": 1}), ("[1, 2]", [1, 2]), ("{not json", "{not json")]
)
def test_text_is_taken_as_the_json_that_it_is(words: str, result: Any) -> None:
    assert kept(content=[text(words)]) == result


def test_small_image_is_kept_with_its_size_and_digest() -> None:
    found = kept(content=[text("a chart"), image(100)])
    assert found["text"] == "a chart"
    [reference] = found["content"]
    assert (reference["type"], reference["mime"], reference["size"]) == ("image", "image/png", 100)
    assert len(reference["digest"]) == 32
    assert base64.b64decode(reference["data"]) == b"x" * 100


def test_large_image_is_kept_by_reference_only() -> None:
    found = kept(content=[image(EMBEDDED + 1), image(10)])
    large, small = found["content"]
    assert large["size"] == EMBEDDED + 1
    assert "data" not in large
    assert "data" in small


def test_embedded_resource_keeps_its_address() -> None:
    block = {"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "hi"}}
    [reference] = kept(content=[block])["content"]
    assert (reference["uri"], reference["mime"], reference["text"], reference["size"]) == (
        "file:///a.txt",
        "text/plain",
        "hi",
        2,
    )
