"""Whatever is typed, and whatever the files hold: a sentence, an exit code of the table, and no traceback."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import PLAN, CommandLine, write_agent, write_config
from tests.exploring import examples

VERBS = [
    "run",
    "ls",
    "show",
    "watch",
    "approve",
    "reject",
    "answer",
    "pause",
    "resume",
    "cancel",
    "amend",
    "history",
    "replay",
    "audit",
    "tools",
    "doctor",
]
OPTIONS = [
    "--id",
    "--input",
    "--inputs",
    "--by",
    "--again",
    "--json",
    "--request",
    "--comment",
    "--args",
    "--replan",
    "--evidence",
    "--goal",
    "--reason",
    "--status",
    "--agent",
    "--waiting-for",
    "--limit",
    "-o",
    "--run",
    "--full",
    "--config",
    "--help",
    "-h",
    "--",
]
FEW = settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

odd_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", " ", "\x00", "\x1b[2J", "a\nb", "\ud800", "x" * 3000, "../..", "/", "-", "NaN", "{", "[1]", "null"]
    ),
    st.text(alphabet=st.characters(codec="utf-8", categories=["Cc", "Cf", "Zl"]), max_size=10),
)
odd_word = st.one_of(
    odd_text,
    st.sampled_from(OPTIONS),
    st.sampled_from(["shop", "k=v", "k={", "=", "a=NaN", "q1", "COMPLETED", "5", "-1", "/dev/null", "/nowhere/x.json"]),
    st.builds(lambda name, value: f"{name}={value}", st.sampled_from(OPTIONS), odd_text),
)


@FEW
@given(verb=st.one_of(st.sampled_from(VERBS), odd_text), words=st.lists(odd_word, max_size=6))
def test_any_arguments_end_with_an_exit_code(nowhere: CommandLine, verb: str, words: list[str]) -> None:
    ran = nowhere(verb, *words)
    assert ran.code in (0, 1, 2, 3)
    assert ran.out or ran.err
    assert "should not have happened" not in ran.err


@settings(FEW, max_examples=examples(40))
@given(task_id=odd_text, choice=odd_text, by=odd_text, args=odd_text)
def test_any_text_reaches_a_real_server_or_is_refused(
    cli: CommandLine, task_id: str, choice: str, by: str, args: str
) -> None:
    for verb in (("show",), ("approve", "--by", by, "--args", args), ("answer", "--by", by), ("pause", "--by", by)):
        more = (choice,) if verb[0] == "answer" else ()
        ran = cli(*verb, "--", task_id, *more)
        assert ran.code == 2
        assert "should not have happened" not in ran.err


@settings(FEW, max_examples=examples(60))
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        st.builds(
            lambda key, value: f"{key} = {value}\n".encode("utf-8", "replace"),
            st.sampled_from(["agents", "ledger", "trust", "temporal", "people", "notify", "models", "worker", "other"]),
            st.sampled_from(
                ['"x"', "3", "true", "[]", "{}", "[1]", "{a = 1}", "1979-05-27", '"sqlite://"', "nan", '""']
            ),
        ),
    )
)
def test_any_configuration_file_is_read_or_named(nowhere: CommandLine, content: bytes) -> None:
    file = nowhere.config.with_name("odd.toml")
    file.write_bytes(content)
    for verb in (("ls",), ("doctor",)):
        ran = CommandLine(file, nowhere.capture)(*verb)
        assert ran.code in (1, 2, 3)
        assert "should not have happened" not in ran.err


@settings(FEW, max_examples=examples(40))
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_agent_file_is_loaded_or_named(nowhere: CommandLine, content: bytes) -> None:
    folder = nowhere.config.parent / "agents" / "odd"
    folder.mkdir(exist_ok=True)
    (folder / "agent.toml").write_bytes(content)
    ran = nowhere("tools", "odd")
    assert ran.code == 2
    assert "should not have happened" not in ran.err


def test_missing_and_unreadable_files_are_named(nowhere: CommandLine, tmp_path: Path) -> None:
    for path in ("/nowhere/x.json", str(tmp_path), "x" * 5000):
        ran = nowhere("run", "shop", "buy", "--inputs", path)
        assert ran.code == 2
        assert "cannot be read" in ran.err or "no text" in ran.err
    missing = CommandLine(tmp_path / "none.toml", nowhere.capture)("ls")
    assert missing.code == 2
    assert "none.toml: cannot be read" in missing.err


def test_inputs_that_are_too_large_are_refused(nowhere: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text('{"text": "' + "x" * 300_000 + '"}')
    ran = nowhere("run", "shop", "buy", "--inputs", str(file))
    assert ran.code == 2
    assert "at most 65536 may be given" in ran.err


def test_help_of_every_verb_is_there(nowhere: CommandLine) -> None:
    for verb in (*VERBS, "dev", "demo"):
        ran = nowhere(verb, "--help")
        assert ran.code == 0
        assert "Usage: starter.py" in ran.out


def test_configuration_may_stand_before_or_after_the_verb(tmp_path: Path, nowhere: CommandLine) -> None:
    other = tmp_path / "other"
    write_agent(other / "agents" / "kiosk", {"plan": PLAN})
    config = write_config(other, "127.0.0.1:1")
    assert nowhere("tools", "kiosk").code == 2
    assert nowhere("tools", "kiosk", "--config", str(config)).code == 0
