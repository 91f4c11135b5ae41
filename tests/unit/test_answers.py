"""How the answers of agents are read: a corpus with the right reading beside each, noise around them, and garbage."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.invocation import Answer, Invocation, Usage
from core.kinds import AGENTS
from invocation import runners
from invocation.runners.agents import base
from invocation.runners.base import Ending
from tests.effort import examples
from tests.support_invocation import request

ANSWERS = Path(__file__).resolve().parents[1] / "fixtures" / "answers"
CASES = sorted(path.with_suffix("") for path in ANSWERS.glob("*/*.json"))
NOW = datetime(2026, 2, 25, 20, tzinfo=UTC)
#: A good answer of each agent.
GOOD = {"claude": "list", "codex": "lines", "gemini": "pretty"}


def printed(case: Path, ending: str) -> bytes:
    path = case.with_name(f"{case.name}.{ending}")
    return path.read_bytes() if path.exists() else b""


def read(
    folder: Path, agent: str, out: bytes, err: bytes = b"", exit_code: int = 0, **invocation: Any
) -> tuple[Answer, dict[str, Any]]:
    """What the runner makes of an output; and the same in the form of the corpus."""
    (folder / "out").write_bytes(out)
    (folder / "err").write_bytes(err)
    ending = Ending(exit_code, str(folder / "out"), str(folder / "err"), NOW)
    made = replace(Invocation(request(), attempt=1, run_folder=str(folder), run_id="r"), **invocation)
    answer = runners.named(agent).read(made, ending)
    told: dict[str, Any] = {
        "status": "ok" if answer.failure is None else answer.failure.code,
        "cost_usd": round(answer.usage.cost_usd, 6),
        "turns": answer.usage.turns,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "session_id": answer.session_id,
        **(answer.failure.details if answer.failure else answer.result or {}),
    }
    if answer.failure is not None:
        told["message"] = answer.failure.message
    return answer, told


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_an_answer_is_read_as_is_written_beside_it(case: Path, tmp_path: Path) -> None:
    spec = json.loads(printed(case, "json"))
    expected = spec["reading"]
    invocation: dict[str, Any] = {"env": spec.get("env", {})}
    if "session_usage" in spec:
        context = Invocation(request(), attempt=1, run_folder="/r", run_id="r").context
        before = Usage(0.0, 0, *spec["session_usage"])
        invocation["context"] = replace(context, session_id=expected["session_id"], session_usage=before)
    answer, told = read(
        tmp_path, case.parent.name, printed(case, "out"), printed(case, "err"), spec["exit_code"], **invocation
    )
    if expected.get("output_noise") is True:
        assert told["output_noise"]
        expected["output_noise"] = told["output_noise"]
    assert {key: told.get(key) for key in expected} == expected, answer
    for key in ("output_noise", "resets_at"):
        assert (key in told) == (expected.get(key) is not None), told
    if answer.result is not None:
        assert answer.result["usage"] == {key: expected[key] for key in ("input_tokens", "output_tokens")}


def test_each_agent_has_answers_that_are_well_and_others() -> None:
    for agent in AGENTS:
        codes = {json.loads(printed(case, "json"))["reading"]["status"] for case in CASES if case.parent.name == agent}
        assert codes >= {
            "ok", "AGENT_FAILED", "AGENT_REFUSED", "AGENT_QUOTA", "AGENT_OVERLOADED", "AGENT_OUTPUT_TRUNCATED",
            "INVALID_RESPONSE",
        }  # fmt: skip


# --- sessions that go on counting ---


def claude_result(cost: float, tokens: tuple[int, int], own: tuple[int, int]) -> bytes:
    """A result whose totals are `tokens` (in, out), and whose own usage is `own`."""
    usage = {"input_tokens": own[0] // 2, "cache_read_input_tokens": own[0] - own[0] // 2, "output_tokens": own[1]}
    models = {"m": {"inputTokens": tokens[0], "outputTokens": tokens[1] - 5}, "n": {"outputTokens": 5}}
    result = {
        "type": "result", "subtype": "success", "is_error": False, "result": "fine", "session_id": "s", "num_turns": 2,
        "total_cost_usd": cost, "usage": usage, "modelUsage": models,
    }  # fmt: skip
    return json.dumps(result).encode()


@pytest.mark.parametrize(
    ("totals", "own", "expected"),
    [
        ((0.38, 1500, 150), (400, 40), (0.02, 500, 50)),
        ((0.36, 1400, 140), (400, 40), (0.0, 400, 40)),
        ((0.50, 1200, 120), (1100, 110), (0.50, 1200, 120)),
        ((0.02, 500, 50), (400, 40), (0.02, 500, 50)),
        ((0.40, 1300, 130), (400, 40), (0.40, 1300, 130)),
    ],
    ids=[
        "goes on",
        "grew by its own",
        "a larger call that began at zero",
        "a smaller one",
        "grew by less than its own",
    ],
)
def test_a_claude_session_is_counted_once_whether_its_totals_go_on_or_begin_again(
    tmp_path: Path, totals: tuple[float, int, int], own: tuple[int, int], expected: tuple[float, int, int]
) -> None:
    context = Invocation(request(), attempt=1, run_folder="/r", run_id="r").context
    context = replace(context, session_id="s", session_usage=Usage(0.36, 0, 1000, 100))
    answer, told = read(tmp_path, "claude", claude_result(totals[0], totals[1:], own), context=context)
    assert (told["cost_usd"], told["input_tokens"], told["output_tokens"], told["turns"]) == (*expected, 2)
    assert answer.session_usage == Usage(totals[0], 2, *totals[1:])


def test_what_a_killed_claude_said_is_added_to_what_its_session_had_counted(tmp_path: Path) -> None:
    context = Invocation(request(), attempt=1, run_folder="/r", run_id="r").context
    context = replace(context, session_id="s", session_usage=Usage(0.36, 0, 1000, 100))
    usage = {"input_tokens": 30, "output_tokens": 3}
    out = json.dumps({"type": "assistant", "session_id": "s", "message": {"id": "m", "usage": usage}}).encode()
    answer, told = read(tmp_path, "claude", out, exit_code=143, context=context)
    assert (told["input_tokens"], told["output_tokens"]) == (30, 3)
    assert answer.session_usage == Usage(0.36, 0, 1030, 103)


# --- noise ---


NOISE_LINES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40),
    st.sampled_from(
        [
            "", "{", "}", "[", "]", "[{", '{"a":', '{"a": {"b": [', '{"type": "log", "a": 1}', "[2026-02-25] {x: 1}",
            "{ level: 'warn' }", '"', '\\"', "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]0;open",
            "\x9b31m", "\ufeff", "10%\r20%\r", "\x00",
            "[1, 2, 3]", "{}", "[]", "null", '[{"a": 1}, {"b": 2}]', "{{{{[[[[", "]}]}",
        ]
    ),
)  # fmt: skip
NOISE = st.lists(NOISE_LINES, max_size=6).map(lambda lines: "".join(f"{line}\n" for line in lines))


def without_noise(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key not in ("output_noise", "file")}


@pytest.mark.parametrize("agent", sorted(GOOD))
def test_noise_around_an_answer_changes_no_reading(agent: str, tmp_path: Path) -> None:
    out = printed(ANSWERS / agent / GOOD[agent], "out")
    _, plain = read(tmp_path, agent, out)
    assert plain["status"] == "ok"

    @settings(deadline=None, max_examples=examples(150))
    @given(NOISE, NOISE, st.sampled_from(["", "\x1b[0m", "Loading... ", "\ufeff"]))
    def check(before: str, after: str, margin: str) -> None:
        # `{"a":` before an answer and `}` after it make it a part of one other JSON value.
        assume(not ('":' in before and "}" in after))
        noisy = f"{before}{margin}".encode() + out + after.encode()
        _, told = read(tmp_path, agent, noisy)
        assert without_noise(told) == without_noise(plain), noisy
        assert ("output_noise" in told) == bool((before + margin + after).strip(" \t\r\n\ufeff"))

    check()


@pytest.mark.parametrize("agent", sorted(GOOD))
def test_noise_around_a_failure_changes_no_code(agent: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.parent.name == agent and printed(case, "out")]
    for case in cases:
        spec = json.loads(printed(case, "json"))
        code = spec["reading"]["status"]
        if code in ("ok", "INVALID_RESPONSE", "AGENT_OUTPUT_TRUNCATED"):
            continue
        noisy = b"Some banner\n{ a: [\n" + printed(case, "out") + b"\n\x1b[0mBye {\n"
        _, told = read(tmp_path, agent, noisy, printed(case, "err"), spec["exit_code"])
        assert told["status"] == code, case


# --- garbage ---


@pytest.mark.parametrize("form", ["one-line", "pretty"])
@pytest.mark.parametrize("agent", sorted(GOOD))
def test_an_answer_that_is_cut_anywhere_is_never_well(agent: str, form: str, tmp_path: Path) -> None:
    names = {"claude": ("object", "pretty"), "codex": ("lines", "pretty"), "gemini": ("one-line", "pretty")}
    out = printed(ANSWERS / agent / names[agent][form == "pretty"], "out").rstrip()
    _, whole = read(tmp_path, agent, out)
    for size in range(1, len(out)):
        answer, told = read(tmp_path, agent, out[:size])
        assert told["status"] == "AGENT_OUTPUT_TRUNCATED", out[:size]
        assert answer.usage.cost_usd in (0, whole["cost_usd"])
        assert told["input_tokens"] in (None, whole["input_tokens"], 1006)


@pytest.mark.parametrize("agent", sorted(GOOD))
def test_a_list_that_is_cut_anywhere_is_never_well(agent: str, tmp_path: Path) -> None:
    out = printed(ANSWERS / agent / "list", "out").rstrip()
    for size in range(0, len(out), 1 if len(out) < 2_000 else 7):
        assert read(tmp_path, agent, out[:size])[1]["status"] in ("AGENT_OUTPUT_TRUNCATED", "INVALID_RESPONSE")


@pytest.mark.parametrize("agent", sorted(GOOD))
@settings(deadline=None, max_examples=examples(200))
@given(data=st.data())
def test_no_bytes_make_the_reader_fail(
    agent: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = printed(ANSWERS / agent / GOOD[agent], "out")
    pieces = st.one_of(
        st.binary(max_size=60), st.sampled_from([b"{", b"}", b'{"type":"result",', b"[", b"]", good, b"\n"])
    )
    out = b"".join(data.draw(st.lists(pieces, max_size=8)))
    err = data.draw(st.binary(max_size=60))
    answer, told = read(tmp_path_factory.getbasetemp(), agent, out, err, data.draw(st.sampled_from([0, 1, -9])))
    assert (answer.failure is None) == (told["status"] == "ok")
    if answer.failure is None:
        assert good.strip() in out, "only a whole answer is well"


@pytest.mark.parametrize("agent", sorted(GOOD))
@settings(deadline=None, max_examples=examples(200))
@given(data=st.data())
def test_a_changed_byte_makes_no_other_answer_of_it(
    agent: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A byte in the text of an answer may be any other; everything else decides whether it is well."""
    out = bytearray(printed(ANSWERS / agent / GOOD[agent], "out"))
    out[data.draw(st.integers(0, len(out) - 1))] = data.draw(st.integers(0, 255))
    answer, told = read(tmp_path_factory.getbasetemp(), agent, bytes(out))
    assert answer.usage.cost_usd >= 0
    if told["status"] == "ok":
        assert json.loads(json.dumps(told))["text"]
        assert "\ud800" not in told["text"]


MANY = 10_000_000


@pytest.mark.full
@pytest.mark.parametrize(
    "piece", ["{", "[", "[{", "{}", '{"a":', '{"a":\n', '[{"a":', '{"a":1,}\n', '{"a":"\n', "\x1b]", "]}"]
)
def test_ten_megabytes_of_braces_are_read_in_bounded_time_and_memory(piece: str, tmp_path: Path) -> None:
    """The limit of the test ends a search whose time grows with the square of the size: that would take hours."""
    tracemalloc.start()
    try:
        _, told = read(tmp_path, "claude", (piece * (MANY // len(piece))).encode())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told["status"] in ("INVALID_RESPONSE", "AGENT_OUTPUT_TRUNCATED")
    assert most < 20 * MANY


def test_an_answer_after_many_braces_is_found(tmp_path: Path) -> None:
    good = printed(ANSWERS / "claude" / "object", "out")
    for noise in (b"{" * 1_000_000, b"[{" * 100_000, b'{"a" ' * 100_000, b"{ [ x\n" * 100_000):
        assert read(tmp_path, "claude", noise + b"\n" + good)[1]["status"] == "ok"


def test_an_output_that_is_too_long_is_no_answer_but_its_cost_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = printed(ANSWERS / "claude" / "list", "out")
    monkeypatch.setattr(base, "OUTPUT_LIMIT", 300)
    _, told = read(tmp_path, "claude", good)
    assert (told["status"], told["cost_usd"], told["turns"]) == ("AGENT_OUTPUT_TRUNCATED", 0.042, 3)
    monkeypatch.setattr(base, "OUTPUT_LIMIT", len(good) - 1)
    _, told = read(tmp_path, "claude", good)
    assert (told["status"], told["cost_usd"]) == ("AGENT_OUTPUT_TRUNCATED", 0.042)


# --- what was ended ---


@pytest.mark.parametrize(
    ("case", "cost", "tokens"),
    [
        ("claude/list", 0.042, 1026),
        ("claude/list-cut-in-its-result", 0.042, 1026),
        ("claude/list-cut-before-its-result", 0, 40),
        ("claude/banner-before", 0.042, 1026),
        ("claude/nothing", 0, None),
        ("codex/lines", 0, 340),
        ("codex/no-end", 0, None),
        ("gemini/pretty", 0, 2500),
    ],
)
def test_what_an_agent_had_used_when_it_was_ended(case: str, cost: float, tokens: int | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(printed(ANSWERS / case, "out"))
    (tmp_path / "err").touch()
    ending = Ending(-15, str(out), str(tmp_path / "err"), NOW)
    made = Invocation(request(), attempt=1, run_folder=str(tmp_path), run_id="r")
    answer = runners.named(case.partition("/")[0]).read_ended(made, ending)
    assert (round(answer.usage.cost_usd, 6), answer.usage.input_tokens) == (cost, tokens)
    assert answer.failure is None


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("claude/list", "ok"),
        ("claude/banner-before", "ok"),
        ("claude/overloaded", "AGENT_OVERLOADED"),
        ("claude/list-cut-in-its-result", None),
        ("claude/list-not-closed", None),
        ("claude/list-without-result", None),
        ("claude/plain-text", None),
        ("claude/nothing", None),
        ("codex/lines", "ok"),
        ("codex/turn-failed", "AGENT_FAILED"),
        ("codex/no-end", None),
        ("codex/error-only", None),
        ("gemini/pretty", "ok"),
        ("gemini/quota-after", "AGENT_QUOTA"),
        ("gemini/no-response", None),
        ("gemini/cut-in-the-stats", None),
    ],
)
def test_of_an_agent_that_does_not_end_only_a_whole_answer_counts(
    case: str, status: str | None, tmp_path: Path
) -> None:
    for ending in ("out", "err"):
        (tmp_path / ending).write_bytes(printed(ANSWERS / case, ending))
    ended = Ending(0, str(tmp_path / "out"), str(tmp_path / "err"), NOW)
    made = Invocation(request(), attempt=1, run_folder=str(tmp_path), run_id="r")
    answer = runners.named(case.partition("/")[0]).read_unended(made, ended)
    if answer is None:
        assert status is None
    else:
        assert status == ("ok" if answer.failure is None else answer.failure.code)
        assert (answer.failure.details if answer.failure else answer.result or {})["did_not_exit"] is True
