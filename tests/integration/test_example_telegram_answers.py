"""What Telegram may say to the sibling that listens, and what stays of an event then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support_telegram import HALF, SILENCE, BotApi, Sibling, bot_api, copied_sibling, event, refusal


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
    assert sibling.drain("--deliver")["delivered"] == 2
    assert len(sibling.lines("cron-forwarded.jsonl")) == 3


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
    assert len(api.got) == 5
    assert "logs \\-\\-run job\\-1\\-2026" in api.texts[-1]


def test_a_server_that_does_not_understand_the_marks_gets_plain_text(sibling: Sibling, api: BotApi) -> None:
    bad = refusal(400, "Bad Request: can't parse entities: Character '-' is reserved")
    api.answer = lambda _, message: bad if message.get("parse_mode") else None
    sibling.put(event(1))
    answer = sibling.drain("--deliver")
    assert answer["preview"][0]["_delivery"]["plain"] is True
    assert api.texts[-1].startswith("✅ job-1\nTrabajo 1 completado")


def test_an_event_that_telegram_refuses_is_put_aside_and_the_rest_goes_on(sibling: Sibling, api: BotApi) -> None:
    api.answer = lambda number, _: refusal(400, "Bad Request: message is too weird") if number == 1 else None
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


def test_an_answer_that_never_came_is_not_asked_for_again(sibling: Sibling, api: BotApi) -> None:
    api.answer = lambda number, _: (0, {}) if number == 1 else None
    sibling.put(event(1), event(2))
    answer = sibling.drain("--deliver")
    assert [shown["_delivery"]["status"] for shown in answer["preview"]] == ["unknown", "delivered"]
    assert len(api.got) == 2
    assert len(sibling.lines("cron-set-aside.jsonl")) == 1
