"""What Telegram may say to the sibling that listens, and what stays of an event then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support_telegram import HALF, SILENCE, BotApi, Sibling, bot_api, copied_sibling, event, refusal

pytestmark = pytest.mark.process


@pytest.fixture
def api() -> Iterator[BotApi]:
    with bot_api() as server:
        yield server


@pytest.fixture
def sibling(tmp_path: Path, api: BotApi) -> Sibling:
    return copied_sibling(tmp_path, api)


# --- what Telegram may say ---


def test_a_wait_that_telegram_asks_for_is_waited(sibling: Sibling, api: BotApi) -> None:
    slow = refusal(429, "Too Many Requests: retry after 1", parameters={"retry_after": 1})
    api.answer = lambda number, _: slow if number == 1 else None
    sibling.put(event(1), event(2))
    assert sibling.drain("--deliver")["delivered"] == 2
    assert [text.split("\n")[0] for text in api.texts] == ["✅ *job\\-1*", "✅ *job\\-1*", "✅ *job\\-2*"]


def test_a_wait_that_is_too_long_leaves_the_rest_to_the_next_drain(sibling: Sibling, api: BotApi) -> None:
    slow = refusal(429, "Too Many Requests: retry after 900", parameters={"retry_after": 900})
    api.answer = lambda number, _: slow if number == 2 else None
    sibling.put(event(1), event(2), event(3))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["delivered"], answer["pending"]) == ("TELEGRAM_BUSY", 1, 2)
    error = sibling.drain("--deliver", code=1)["error"]
    assert (error["code"], 0 < error["details"]["retry_after"] <= 900, len(api.got)) == ("TELEGRAM_BUSY", True, 2)
    change_memory(sibling, "wait", asked_at=0)
    assert sibling.drain("--deliver")["delivered"] == 2
    assert len(sibling.lines("cron-forwarded.jsonl")) == 3


def change_memory(sibling: Sibling, part: str, **values: Any) -> dict[str, Any]:
    """Changes what one drain told the next, and returns what it was."""
    path = sibling.root / "db" / "telegram_state.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, part: {**found[part], **values}}))
    return dict(found[part])


@pytest.mark.parametrize("change", [{"asked_at": 99_999_999_999}, {"asked_at": None}, {"sec": "x"}, {"sec": -5}])
def test_a_wait_that_can_not_be_is_forgotten(sibling: Sibling, api: BotApi, change: dict[str, Any]) -> None:
    slow = refusal(429, "Too Many Requests", parameters={"retry_after": 10**9})
    api.answer = lambda number, _: slow if number == 1 else None
    sibling.put(event(1))
    assert sibling.drain("--deliver", code=1)["error"]["code"] == "TELEGRAM_BUSY"
    assert change_memory(sibling, "wait", **change)["sec"] == 86_400, "no longer than a day"
    assert sibling.drain("--deliver")["delivered"] == 1


def test_a_wait_is_of_one_chat(sibling: Sibling, api: BotApi) -> None:
    slow = refusal(429, "Too Many Requests", parameters={"retry_after": 900})
    api.answer = lambda number, _: slow if number == 1 else None
    sibling.put(event(1))
    sibling.drain("--deliver", code=1)
    sibling.env["PURUTO_TELEGRAM_DEFAULT_CHAT_ID"] = "8"
    assert sibling.drain("--deliver")["delivered"] == 1


def test_a_long_text_comes_in_messages_that_telegram_takes(sibling: Sibling, api: BotApi) -> None:
    text = "\n".join("línea 🐦 (número) _x_ *y* [z] " * 3 + str(number) for number in range(120))
    long = event(1)
    long["result"]["response"]["result"]["summary"] = text
    sibling.put(long)
    answer = sibling.drain("--deliver")
    assert (answer["delivered"], answer["preview"][0]["_delivery"]["parts"]) == (1, len(api.got))
    assert len(api.got) > 1
    shown = [message.replace("\\", "") for message in api.texts]
    assert all(len(message.encode("utf-16-le")) // 2 <= 4096 for message in shown)
    assert all(f"] {number}\n" in "\n".join(shown) + "\n" for number in range(119)), "cut at line ends, nothing is lost"


def test_a_text_without_end_is_cut_and_says_where_the_rest_is(sibling: Sibling, api: BotApi) -> None:
    long = event(1)
    long["result"]["response"]["result"]["summary"] = "x" * 60_000
    sibling.put(long)
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 4
    assert all(len(text.replace("\\", "").encode("utf-16-le")) // 2 <= 4096 for text in api.texts)
    assert "logs \\-\\-run job\\-1\\-2026" in api.texts[-1]


@pytest.mark.parametrize("blank", [" \n", "\u200b\n", "\u2800"])
def test_a_stretch_of_blanks_is_no_message_of_its_own(sibling: Sibling, api: BotApi, blank: str) -> None:
    long = event(1)
    long["result"]["response"]["result"]["summary"] = "a" * 3000 + blank * 9000 + "z"
    sibling.put(long)
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 2
    assert all(set(text) & set("az") for text in api.texts)


def test_a_server_that_does_not_understand_the_marks_gets_plain_text(sibling: Sibling, api: BotApi) -> None:
    bad = refusal(400, "Bad Request: can't parse entities: Character '-' is reserved")
    api.answer = lambda _, message: bad if message.get("parse_mode") else None
    sibling.put(event(1))
    answer = sibling.drain("--deliver")
    assert answer["preview"][0]["_delivery"]["plain"] is True
    assert api.texts[-1].startswith("✅ job-1\nTrabajo 1 completado")


def test_an_event_that_telegram_refuses_is_put_aside_and_the_rest_goes_on(sibling: Sibling, api: BotApi) -> None:
    api.answer = lambda number, _: refusal(400, "Bad Request: message is too weird") if number <= 2 else None
    sibling.put(event(1), event(2))
    answer = sibling.drain("--deliver")
    assert (answer["status"], answer["delivered"], answer["set_aside"]) == ("ok", 1, 1)
    (aside,) = sibling.lines("cron-set-aside.jsonl")
    assert aside["event"] == event(1)
    assert "too weird" in aside["reason"]
    assert sibling.drain("--deliver")["processed"] == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_token_or_a_chat_that_is_closed_loses_nothing(sibling: Sibling, api: BotApi, status: int) -> None:
    api.answer = lambda *_: refusal(status, "Unauthorized" if status == 401 else "Forbidden: bot was blocked")
    sibling.put(event(1), event(2))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["processed"], answer["pending"]) == ("TELEGRAM_REFUSES", 0, 2)
    api.answer = lambda *_: None
    assert sibling.drain("--deliver")["delivered"] == 2
    assert len(sibling.lines("cron-forwarded.jsonl")) == 2


def test_a_server_that_is_not_there_loses_nothing(sibling: Sibling, api: BotApi) -> None:
    url = sibling.env["PURUTO_TELEGRAM_API_URL"]
    sibling.env["PURUTO_TELEGRAM_API_URL"] = "http://127.0.0.1:1"
    sibling.put(event(1))
    answer = sibling.drain("--deliver", code=1)
    assert answer["error"]["code"] == "TELEGRAM_UNREACHABLE"
    sibling.env["PURUTO_TELEGRAM_API_URL"] = url
    assert sibling.drain("--deliver")["delivered"] == 1


ENTITIES = refusal(400, "Bad Request: can't parse entities")
MIGRATED = refusal(400, "Bad Request: group chat was upgraded", parameters={"migrate_to_chat_id": -1009})


@pytest.mark.parametrize("first", [None, ENTITIES], ids=["marks", "plain"])
@pytest.mark.parametrize(
    ("told", "code", "says"),
    [
        (refusal(400, "Bad Request: chat not found"), "TELEGRAM_REFUSES", "Chat not found"),
        (refusal(400, "Bad Request: PEER_ID_INVALID"), "TELEGRAM_REFUSES", "invalid"),
        (refusal(400, "Bad Request: user not found"), "TELEGRAM_REFUSES", "User not found"),
        (refusal(400, "Bad Request: bot was kicked from the group"), "TELEGRAM_REFUSES", "kicked"),
        (MIGRATED, "TELEGRAM_REFUSES", "-1009"),
        (refusal(403, "Forbidden: bot was blocked by the user"), "TELEGRAM_REFUSES", "blocked"),
        (refusal(409, "Conflict: terminated by other getUpdates"), "TELEGRAM_REFUSES", "Conflict"),
        (refusal(429, "Too Many Requests", parameters={"retry_after": 900}), "TELEGRAM_BUSY", "900 s"),
        (refusal(500, "Internal Server Error"), "TELEGRAM_UNREACHABLE", "HTTP 500"),
        (refusal(200, "odd"), "TELEGRAM_UNREACHABLE", "HTTP 200"),
        ((502, b"<html>Bad Gateway</html>"), "TELEGRAM_UNREACHABLE", "HTTP 502"),
        ((302, b""), "TELEGRAM_UNREACHABLE", "HTTP 302"),
    ],
)
def test_what_is_not_the_messages_fault_stops_and_keeps_the_event(
    sibling: Sibling, api: BotApi, first: Any, told: Any, code: str, says: str
) -> None:
    api.answer = lambda number, _: first if first and number == 1 else told
    sibling.put(event(1), event(2))
    answer = sibling.drain("--deliver", code=1)
    error = answer["error"]
    assert (error["code"], answer["processed"], answer["set_aside"], answer["pending"]) == (code, 0, 0, 2)
    assert says in error["message"]
    assert error["details"]["hint"]
    assert sibling.states() == ["forwarded", "sending", "unsent"]
    api.answer = lambda *_: None
    if code == "TELEGRAM_BUSY":
        change_memory(sibling, "wait", asked_at=0)
    assert sibling.drain("--deliver")["delivered"] == 2


@pytest.mark.parametrize("words", ["message is too long", "message text is empty", "text must be encoded in UTF-8"])
def test_the_messages_own_fault_puts_aside_as_many_as_have_it(sibling: Sibling, api: BotApi, words: str) -> None:
    api.answer = lambda number, _: refusal(400, f"Bad Request: {words}") if number < 4 else None
    sibling.put(event(1), event(2), event(3), event(4))
    answer = sibling.drain("--deliver")
    assert (answer["status"], answer["set_aside"], answer["delivered"]) == ("ok", 3, 1)


def test_words_that_nobody_knows_put_one_event_aside_and_not_all(sibling: Sibling, api: BotApi) -> None:
    api.answer = lambda *_: refusal(400, "Bad Request: the moon is full")
    sibling.put(*(event(number) for number in range(1, 5)))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["set_aside"], answer["pending"]) == ("TELEGRAM_REFUSES", 1, 3)
    again = sibling.drain("--deliver", code=1)
    assert (again["set_aside"], again["pending"]) == (0, 3), "nor one with each drain"
    change_memory(sibling, "refused", since=99_999_999_999)
    assert sibling.drain("--deliver", code=1)["pending"] == 3
    assert change_memory(sibling, "refused", since=0)["since"] < 99_999_999_999, "the clock was set back"
    assert sibling.drain("--deliver", code=1)["pending"] == 2, "and nothing is held back for ever"
    api.answer = lambda *_: None
    assert sibling.drain("--deliver")["delivered"] == 2
    api.answer = lambda *_: refusal(400, "Bad Request: the moon is full")
    sibling.put(event(5))
    assert sibling.drain("--deliver")["set_aside"] == 1, "a message was taken since"


def test_a_refused_part_keeps_no_other_from_being_sent(sibling: Sibling, api: BotApi) -> None:
    long = event(1)
    long["result"]["response"]["result"]["summary"] = "\n".join(letter * 3000 for letter in "abc")
    bad = refusal(400, "Bad Request: the moon is full")
    api.answer = lambda _, message: None if "ccc" in message["text"] else bad
    sibling.put(long)
    answer = sibling.drain("--deliver")
    delivery = answer["preview"][0]["_delivery"]
    assert (delivery["status"], delivery["parts_refused"], delivery["parts"]) == ("refused", [1, 2], 3)
    assert ("ccc" in api.texts[-1], answer["set_aside"]) == (True, 1)


@pytest.mark.parametrize(
    "url",
    [
        *("api.telegram.org", "ftp://127.0.0.1", "http://", "http://:80", "http://[::1", "http://h:99999", "//h"),
        *("http://a b", "http://h:x", "http://h/?a=b", "http://h/#a", "http://h/{token}", "\x7f"),
    ],
)
def test_an_address_that_can_not_be_is_said_before_anything_is_sent(sibling: Sibling, api: BotApi, url: str) -> None:
    good = sibling.env["PURUTO_TELEGRAM_API_URL"]
    sibling.env["PURUTO_TELEGRAM_API_URL"] = url
    sibling.put(event(1))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["pending"]) == ("TELEGRAM_URL_INVALID", 1)
    assert sibling.states() == []
    sibling.env["PURUTO_TELEGRAM_API_URL"] = good + "/"
    assert sibling.drain("--deliver")["delivered"] == 1
    assert len(api.got) == 1


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "LIBRARY_MISSING"),
        ("ALL_PROXY", "gopher://127.0.0.1:1", "TELEGRAM_UNREACHABLE"),
        ("HTTP_PROXY", "http://127.0.0.1:1", "TELEGRAM_UNREACHABLE"),
        ("SSL_CERT_FILE", "/does/not/exist", "TELEGRAM_UNREACHABLE"),
        ("PURUTO_TELEGRAM_BOT_TOKEN", "47\n11", "TELEGRAM_UNREACHABLE"),
    ],
)
def test_a_connection_that_can_not_be_set_up_keeps_the_event(
    sibling: Sibling, api: BotApi, name: str, value: str, code: str
) -> None:
    before = dict(sibling.env)
    sibling.env[name] = value
    sibling.put(event(1))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["pending"], api.got) == (code, 1, [])
    assert sibling.states() == ["forwarded", "sending", "unsent"]
    sibling.env = before
    assert sibling.drain("--deliver")["delivered"] == 1


@pytest.mark.parametrize(
    "told", [SILENCE, HALF, (200, b"<html>hello"), (200, b""), (200, b"[]"), (504, b"<html>")],
    ids=["silence", "half", "html", "empty", "list", "gateway"],
)  # fmt: skip
def test_the_first_answer_in_doubt_stops_the_drain(sibling: Sibling, api: BotApi, told: Any) -> None:
    api.answer = lambda *_: told
    sibling.put(event(1), event(2), event(3))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["processed"], answer["pending"]) == ("TELEGRAM_NO_ANSWER", 1, 2)
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["unknown"]
    assert [line["event"] for line in sibling.lines("cron-set-aside.jsonl")] == [event(1)]
    api.answer = lambda *_: None
    assert sibling.drain("--deliver")["delivered"] == 2
    assert len(api.got) == 3


def test_a_part_in_doubt_stops_the_drain_and_the_next_goes_on_behind_it(sibling: Sibling, api: BotApi) -> None:
    long = event(1)
    long["result"]["response"]["result"]["summary"] = "\n".join(letter * 3000 for letter in "abc")
    api.answer = lambda number, _: SILENCE if number == 2 else None
    sibling.put(long, event(2))
    answer = sibling.drain("--deliver", code=1)
    assert (answer["error"]["code"], answer["processed"], len(api.got)) == ("TELEGRAM_NO_ANSWER", 0, 2)
    answer = sibling.drain("--deliver")
    delivery = answer["preview"][0]["_delivery"]
    assert (delivery["status"], delivery["parts_unknown"], answer["delivered"]) == ("unknown", [2], 1)
    assert [name for text in api.texts for name in ("aaa", "bbb", "ccc", "Trabajo") if name in text] == [
        "aaa", "bbb", "ccc", "Trabajo",
    ]  # fmt: skip
    assert len(sibling.lines("cron-set-aside.jsonl")) == 1


def test_what_was_taken_is_delivered_whatever_else_the_answer_holds(sibling: Sibling, api: BotApi) -> None:
    api.answer = lambda *_: (200, {"ok": True, "result": {"odd": 1}})
    sibling.put(event(1))
    assert sibling.drain("--deliver")["delivered"] == 1
