"""The sibling that listens, as a process: its contract, its inbox, and crashes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support_telegram import SILENCE, BotApi, Sibling, Told, bot_api, copied_sibling, event, refusal
from tests.workspace import PATIENCE, ended, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def api() -> Iterator[BotApi]:
    with bot_api() as server:
        yield server


@pytest.fixture
def sibling(tmp_path: Path, api: BotApi) -> Sibling:
    return copied_sibling(tmp_path, api)


# --- the contract ---


def test_without_an_inbox_it_says_so_in_the_contracts_words(sibling: Sibling) -> None:
    assert sibling.drain("--limit", "50") == {
        "status": "ok", "pending": 0, "processed": 0, "message": "No existe inbox/cron-events.jsonl",
    }  # fmt: skip


def test_quiet_prints_only_what_was_done_or_is_wrong(sibling: Sibling, api: BotApi) -> None:
    def said(*words: str) -> tuple[int, bytes]:
        with sibling.start("--deliver", "--quiet", *words) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out

    assert said() == (0, b""), "there is no inbox"
    sibling.put(event())
    code, out = said()
    assert (code, json.loads(out)["delivered"]) == (0, 1)
    assert said() == (0, b""), "there is nothing new"
    assert said("--limit", "0")[0] == 2
    assert len(api.texts) == 1


def test_new_events_are_forwarded_and_shown_from_the_kept_offset(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2), event(3))
    answer = sibling.drain("--limit", "2")
    assert {key: answer[key] for key in ("status", "processed", "deliver", "delivered", "skipped_delivery")} == {
        "status": "ok", "processed": 2, "deliver": False, "delivered": 0, "skipped_delivery": 0,
    }  # fmt: skip
    assert (answer["inbox_file"], answer["forwarded_log"]) == ("inbox/cron-events.jsonl", "db/cron-forwarded.jsonl")
    assert answer["preview"][0] == {"job_id": "job-1", "run_id": "job-1-2026", "ts": "2026-02-25T20:00:00+00:00"}
    assert answer["offset"] == sibling.offset() == len(json.dumps(event(1)) + json.dumps(event(2))) + 2
    assert sibling.drain()["processed"] == 1
    assert sibling.drain()["processed"] == 0
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2), event(3)]
    assert api.got == []


def test_with_deliver_each_event_is_sent_and_the_log_holds_it_as_it_came(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2, result=None, attempts=2, error={"code": "TIMEOUT", "message": "not (done)!"}))
    answer = sibling.drain("--deliver")
    assert (answer["delivered"], answer["processed"]) == (2, 2)
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["delivered", "delivered"]
    assert all("_delivery" not in line for line in sibling.lines("cron-forwarded.jsonl"))
    assert [message["chat_id"] for message in api.got] == ["7", "7"]
    assert api.texts[0] == "✅ *job\\-1*\nTrabajo 1 completado\n_job\\-1\\-2026 · 2026\\-02\\-25T20:00:00\\+00:00_"
    assert "❌ *job\\-2*\nTIMEOUT: not \\(done\\)\\!" in api.texts[1]


@pytest.mark.parametrize("missing", ["PURUTO_TELEGRAM_BOT_TOKEN", "PURUTO_TELEGRAM_DEFAULT_CHAT_ID"])
def test_without_a_token_or_a_chat_delivery_is_skipped(sibling: Sibling, api: BotApi, missing: str) -> None:
    del sibling.env[missing]
    sibling.put(event())
    answer = sibling.drain("--deliver")
    assert (answer["status"], answer["skipped_delivery"], answer["delivered"]) == ("ok", 1, 0)
    assert answer["preview"][0]["_delivery"]["status"] == "skipped"
    assert missing in answer["skipped_why"]
    assert api.got == []


def test_what_can_not_be_sent_yet_waits_in_the_inbox_and_is_sent_once_it_can(sibling: Sibling, api: BotApi) -> None:
    token = sibling.env.pop("PURUTO_TELEGRAM_BOT_TOKEN")
    sibling.put(event(1), b"no json\n", event(2))
    for _ in range(3):
        answer = sibling.drain("--deliver")
        assert (answer["offset"], answer["pending"], answer["processed"], answer["skipped_delivery"]) == (0, 3, 3, 2)
        sibling.put(b"")
    assert answer["set_aside"] == 0, "it was set aside by the first drain"
    assert len(sibling.lines("cron-set-aside.jsonl")) == 1
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2)]
    sibling.env["PURUTO_TELEGRAM_BOT_TOKEN"] = token
    answer = sibling.drain("--deliver")
    assert (answer["delivered"], answer["pending"]) == (2, 0)
    assert len(api.texts) == 2
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2)]
    assert "skipped_why" not in json.loads((sibling.root / "db" / "inbox_state.json").read_text())


def test_what_was_sent_already_is_passed_also_when_nothing_can_be_sent(sibling: Sibling) -> None:
    sibling.put(event(1))
    sibling.drain("--deliver")
    (sibling.root / "db" / "inbox_offsets.json").unlink()
    del sibling.env["PURUTO_TELEGRAM_BOT_TOKEN"]
    sibling.put(event(2))
    answer = sibling.drain("--deliver")
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["already_done", "skipped"]
    assert answer["offset"] == len(json.dumps(event(1))) + 1


def test_a_quiet_drain_that_can_not_send_says_each_event_once(sibling: Sibling) -> None:
    del sibling.env["PURUTO_TELEGRAM_BOT_TOKEN"]

    def said() -> bytes:
        with ended(sibling.start("--deliver", "--quiet")) as process:
            return process.communicate(timeout=PATIENCE)[0]

    sibling.put(event(1))
    assert json.loads(said())["skipped_delivery"] == 1
    assert said() == b""
    sibling.put(event(2))
    assert json.loads(said())["skipped_delivery"] == 2


def test_settings_may_stand_in_an_env_file(sibling: Sibling, api: BotApi) -> None:
    names = [name for name in sibling.env if name.startswith("PURUTO_TELEGRAM")]
    (sibling.root / ".env").write_text("".join(f"{name}='{sibling.env.pop(name)}'\n" for name in names))
    sibling.put(event())
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 1


def test_an_empty_variable_hides_no_line_of_the_env_file(sibling: Sibling, api: BotApi) -> None:
    (sibling.root / ".env").write_text(f"PURUTO_TELEGRAM_BOT_TOKEN={sibling.env['PURUTO_TELEGRAM_BOT_TOKEN']}\n")
    sibling.env["PURUTO_TELEGRAM_BOT_TOKEN"] = ""
    sibling.put(event())
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 1


def test_an_env_file_that_is_no_text_is_one_json_error(sibling: Sibling, api: BotApi) -> None:
    (sibling.root / ".env").write_bytes(b"PURUTO_TELEGRAM_API_URL=\xff\n")
    sibling.put(event())
    error = sibling.drain("--deliver", code=1)["error"]
    assert (error["code"], "UTF-8" in error["details"]["hint"]) == ("DOTENV_BAD_TEXT", True)
    assert api.got == []


def test_a_file_where_a_folder_should_be_is_one_json_error(sibling: Sibling) -> None:
    sibling.put(event())
    (sibling.root / "db").write_text("")
    assert sibling.drain(code=1)["error"]["code"] == "INBOX_UNUSABLE"


@pytest.mark.parametrize("words", [("--limit", "0"), ("--limit", "x"), ("--what",)])
def test_wrong_arguments_are_one_json_error(sibling: Sibling, words: tuple[str, ...]) -> None:
    assert sibling.drain(*words, code=2)["error"]["code"] == "USAGE"


# --- what the inbox may look like ---


def test_a_half_written_last_line_is_left_for_next_time(sibling: Sibling) -> None:
    whole = json.dumps(event(2)).encode() + b"\n"
    sibling.put(event(1), whole[:20])
    assert sibling.drain()["processed"] == 1
    assert sibling.drain()["processed"] == 0
    sibling.put(whole[20:])
    assert sibling.drain()["processed"] == 1
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2)]


@pytest.mark.parametrize("what", [b"", b"{", b"[]", b'{"a": 1}', b'{"inbox/cron-events.jsonl": "x"}', b"\xff"])
def test_an_unreadable_file_of_offsets_begins_anew_and_sends_nothing_twice(
    sibling: Sibling, api: BotApi, what: bytes
) -> None:
    sibling.put(event(1), event(2))
    sibling.drain("--deliver")
    (sibling.root / "db" / "inbox_offsets.json").write_bytes(what)
    sibling.put(event(3))
    answer = sibling.drain("--deliver")
    assert (answer["processed"], answer["delivered"], answer["status"]) == (3, 1, "ok")
    assert len(api.got) == 3
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2), event(3)]


def test_an_offset_within_a_line_begins_at_that_line(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2), event(3))
    sibling.drain("--deliver", "--limit", "1")
    offsets = sibling.root / "db" / "inbox_offsets.json"
    offsets.write_text(json.dumps({"inbox/cron-events.jsonl": sibling.offset() + 20}))
    answer = sibling.drain("--deliver")
    assert (answer["delivered"], answer["set_aside"]) == (2, 0)
    offsets.write_text(json.dumps({"inbox/cron-events.jsonl": 5}))
    assert sibling.drain("--deliver")["processed"] == 3
    assert [text.split("\n")[0] for text in api.texts] == ["✅ *job\\-1*", "✅ *job\\-2*", "✅ *job\\-3*"]


def test_a_cut_inbox_is_told_once(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1))
    sibling.drain("--deliver")
    sibling.inbox.write_bytes(b"")
    assert "truncated" in sibling.drain("--deliver", "--quiet")["restarted"]
    with ended(sibling.start("--deliver", "--quiet")) as process:
        assert process.communicate(timeout=PATIENCE)[0] == b""
    sibling.put(event(2))
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 2


def test_an_inbox_that_was_cut_or_replaced_is_read_from_its_beginning(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2))
    sibling.drain("--deliver")
    sibling.inbox.write_bytes(json.dumps(event(3)).encode() + b"\n")
    answer = sibling.drain("--deliver")
    assert (answer["delivered"], "truncated" in answer["restarted"]) == (1, True)
    sibling.inbox.unlink()
    sibling.put(event(4), event(5), event(6), event(3))
    answer = sibling.drain("--deliver")
    assert answer["delivered"] == 3
    assert "replaced" in answer["restarted"]
    assert len(api.got) == 6, "job-3 was sent before"


def test_a_line_that_is_no_event_is_put_aside_and_blocks_nothing(sibling: Sibling, api: BotApi) -> None:
    sibling.put(b"not json\n", b"[1]\n", b"\n", b"\xff\xfe\n", event(1))
    answer = sibling.drain("--deliver")
    assert (answer["processed"], answer["set_aside"], answer["delivered"]) == (5, 3, 1)
    assert len(sibling.lines("cron-set-aside.jsonl")) == 3
    assert len(api.got) == 1


@pytest.mark.parametrize(
    "odd",
    [
        *({}, {"result": []}, {"result": {"response": 1}}, {"error": "x"}, {"error": {"details": 1}}),
        *({"job_id": "\ud800", "result": {"response": {"result": {"text": "\udfff"}}}}, {"ts": "x" * 9000}),
        *({"job_id": None, "ts": {}}, {"result": {"response": {"result": {}}}}),
    ],
)
def test_an_event_of_any_shape_is_sent(sibling: Sibling, api: BotApi, odd: dict[str, Any]) -> None:
    sibling.put({"job_id": "j", "run_id": "r", **odd})
    assert sibling.drain("--deliver")["delivered"] == 1
    assert api.texts[0].strip()


def test_what_half_a_character_stands_in_is_sent_with_a_mark_for_it(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1, job_id="j\ud83d"))
    assert sibling.drain("--deliver")["preview"][0]["job_id"] == "j\ufffd"
    assert api.texts[0].startswith("✅ *j\ufffd*")


def test_an_answer_that_is_nested_too_deep_is_told_all_the_same(sibling: Sibling) -> None:
    # Which depth json reads and can't write differs from version to version, so it is built here.
    program = """if True:
        import telegram_text
        deep = 1
        for _ in range(100_000):
            deep = {"a": deep}
        print(telegram_text.messages({"job_id": "j", "result": {"response": {"result": deep}}}))
    """
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=sibling.root, env=sibling.env, capture_output=True, text=True, check=False)
    assert (done.stderr, "too deep" in done.stdout) == ("", True)


def test_two_drains_at_once_send_each_event_once(sibling: Sibling, api: BotApi) -> None:
    sibling.put(*(event(number) for number in range(20)))
    with ExitStack() as stack:
        drains = [stack.enter_context(ended(sibling.start("--deliver"))) for _ in range(3)]
        answers = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in drains]
    assert sorted(answer["delivered"] for answer in answers) == [0, 0, 20]
    assert len(api.got) == 20
    assert len(sibling.lines("cron-forwarded.jsonl")) == 20


# --- crashes ---


def test_a_crash_while_a_message_is_sent_sends_it_not_twice_and_says_so(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2))
    api.hold.clear()
    with ended(sibling.start("--deliver")) as process:
        wait_for(api.reached.is_set, what="the message")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    api.hold.set()
    answer = sibling.drain("--deliver")
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["unknown", "delivered"]
    assert len(api.got) == 2
    assert sibling.lines("cron-forwarded.jsonl") == [event(1), event(2)]
    assert len(sibling.lines("cron-set-aside.jsonl")) == 1


def long_event(number: int = 1) -> dict[str, Any]:
    long = event(number)
    long["result"]["response"]["result"]["summary"] = "\n".join(letter * 3000 for letter in "abc")
    return long


def test_a_crash_within_an_event_of_several_messages_loses_that_message_alone(sibling: Sibling, api: BotApi) -> None:
    sibling.put(long_event(), event(2))
    api.answer = lambda number, _: api.hold.clear() if number == 2 else None
    with ended(sibling.start("--deliver")) as process:
        wait_for(lambda: len(api.got) == 2, what="the second message")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    api.hold.set()
    answer = sibling.drain("--deliver")
    first, second = (shown["_delivery"] for shown in answer["preview"])
    assert (first["status"], first["parts"], first["parts_unknown"]) == ("unknown", 3, [2])
    assert second["status"] == "delivered"
    assert [word for text in api.texts for word in ("aaa", "bbb", "ccc", "Trabajo") if word in text] == [
        "aaa", "bbb", "ccc", "Trabajo",
    ]  # fmt: skip
    (aside,) = sibling.lines("cron-set-aside.jsonl")
    assert (aside["event"], aside["_delivery"]["status"]) == (long_event(), "unknown")


def test_what_was_not_delivered_is_not_called_so_later(sibling: Sibling, api: BotApi) -> None:
    bad = refusal(400, "Bad Request: message is too long")
    answers: dict[int, Told] = {1: bad, 2: SILENCE}
    api.answer = lambda number, _: answers.get(number)
    sibling.put(event(1), event(2), b"no json\n")
    sibling.drain("--deliver", code=1)
    chat = sibling.env.pop("PURUTO_TELEGRAM_DEFAULT_CHAT_ID")
    sibling.put(event(3))
    sibling.drain("--deliver")
    sibling.env["PURUTO_TELEGRAM_DEFAULT_CHAT_ID"] = chat
    (sibling.root / "db" / "inbox_offsets.json").unlink()
    answer = sibling.drain("--deliver")
    assert [shown["_delivery"] for shown in answer["preview"]] == [
        {"status": "already_done", "was": "refused"},
        {"status": "already_done", "was": "unknown"},
        {"status": "delivered", "message_id": 3, "parts": 1},
    ]
    assert (len(api.got), answer["set_aside"]) == (3, 0)


def test_a_crash_between_send_and_offset_sends_nothing_twice(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1), event(2))
    sibling.drain("--deliver")
    for name in ("inbox_offsets.json", "inbox_state.json"):
        (sibling.root / "db" / name).write_text("{}")
    answer = sibling.drain("--deliver")
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["already_done"] * 2
    assert [shown["_delivery"]["was"] for shown in answer["preview"]] == ["delivered"] * 2
    assert len(api.got) == 2


def test_a_long_journal_is_written_anew_and_forgets_only_old_events(sibling: Sibling, api: BotApi) -> None:
    sibling.put(event(1))
    sibling.drain("--deliver")
    journal = sibling.root / "db" / "inbox_journal.jsonl"
    old = "".join(f'{{"event": "{number:032x}", "state": "done"}}\n' for number in range(60_001))
    journal.write_text(old + journal.read_text() + '{"event": "half')
    (sibling.root / "db" / "inbox_offsets.json").write_text("{}")
    sibling.drain("--deliver")
    assert len(api.got) == 1
    assert journal.stat().st_size < len(old)
