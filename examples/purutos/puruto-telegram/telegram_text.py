"""An event of puruto-cron as messages for Telegram: MarkdownV2, each at most as long as Telegram accepts."""

from __future__ import annotations

import json
import unicodedata
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from inbox_files import well_formed

#: The most UTF-16 units of a message without its formatting. Source: core.telegram.org/bots/api#sendmessage.
LONGEST = 4096
#: An event that needs more messages is cut, and the last one names `logs --run` of puruto-cron for the whole text.
MOST_PARTS = 4
_ROOM = LONGEST - 96
#: The most characters of what a target said when it failed: the end of it.
_SAID = 1500
#: Source: core.telegram.org/bots/api#markdownv2-style.
_MARKS = frozenset("_*[]()~`>#+-=|{}.!\\")
#: Telegram rejects a message of only these: control, format and space characters, and three that look empty.
_UNSEEN = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
_UNSEEN_TOO = frozenset("\u115f\u2800\u3164")


def messages(event: dict[str, Any]) -> list[str]:
    """The event as one or more messages."""
    job, run, ts = _word(event.get("job_id"), "?"), _word(event.get("run_id"), ""), _when(event)
    head, body = _body(event)
    title = f"{head} *{escape(job)}*"
    foot = escape(" · ".join(part for part in (run, ts) if part))
    # Space for the title, and for the run ID twice: in the footer, and in the hint about the whole text.
    pieces = _pieces(well_formed(body).strip(), _ROOM - units(job) - 2 * units(run) - 128)
    if len(pieces) > MOST_PARTS:
        pieces = pieces[:MOST_PARTS]
        pieces[-1] += f"\n… python3 main.py logs --run {run}"
    parts = [f"{title}\n{escape(pieces[0])}" if pieces else title, *map(escape, pieces[1:])]
    parts[-1] += f"\n_{foot}_" if foot else ""
    return parts


def escape(text: str) -> str:
    """Plain text, so that MarkdownV2 shows it as it is."""
    return "".join(f"\\{char}" if char in _MARKS else char for char in text)


def plain(markdown: str) -> str:
    """A message of `messages` without its formatting, for a server that rejects that."""
    found, backslash = [], False
    for char in markdown:
        if backslash or char not in "*_\\":
            found.append(char)
            backslash = False
        else:
            backslash = char == "\\"
    return "".join(found)


def units(text: str) -> int:
    """The length of a text as Telegram counts it: in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _body(event: dict[str, Any]) -> tuple[str, str]:
    error = event.get("error")
    if isinstance(error, dict):
        return "❌", _failure(error)
    result = event.get("result")
    response = result.get("response") if isinstance(result, dict) else None
    answer = response.get("result") if isinstance(response, dict) else None
    return "✅", _success(answer) if isinstance(answer, dict) else ""


def _failure(error: dict[str, Any]) -> str:
    """The code and the message of an error, and what the target said, once."""
    details = error.get("details")
    known = details if isinstance(details, dict) else {}
    code, message = _word(error.get("code"), "ERROR"), _word(error.get("message"), "")
    said = str(next((known[key] for key in ("stderr", "said", "stdout") if known.get(key)), "")).strip()
    own = known.get("response_error")
    if isinstance(own, dict) and not said:
        said = f"{_word(own.get('code'), 'ERROR')}: {_word(own.get('message'), '')}"
    if said and _plain(said) in _plain(message):
        said = ""
    elif said and len(said) <= _SAID:
        # A message that ends with the beginning of what was said would tell it twice.
        start, colon, rest = message.partition(": ")
        if colon and _plain(said).startswith(_plain(rest).rstrip("…")):
            message = start
    if code == "NONZERO_EXIT" and not said:
        message += ", and printed nothing"
    return "\n".join([f"{code}: {message}", *([said[-_SAID:]] if said else [])])


def _success(answer: dict[str, Any]) -> str:
    """What a target answered: its text, or that there is none, or all of it as JSON."""
    for key in ("summary", "text", "stdout"):
        if isinstance(answer.get(key), str) and answer[key].strip():
            return str(answer[key])
    code = answer.get("exit_code")
    if "stdout" in answer and code is not None:
        how = "Ended well" if code == 0 else f"Ended well, with exit code {_word(code, '?')}"
        errors = answer.get("stderr")
        wrote_errors = isinstance(errors, str) and errors.strip()
        return f"{how}. On stderr:\n{str(errors)[-_SAID:]}" if wrote_errors else f"{how}, printed nothing"
    if "agent" in answer and isinstance(answer.get("text"), str):
        structured = answer.get("structured_output")
        return _json(structured) if structured else "Ended well, said nothing"
    return _json(answer) if answer else "Ended well, with an empty result"


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=1)
    except RecursionError:
        return "(an answer too deep to be shown here)"


def _plain(text: str) -> str:
    """A text for comparison: its words."""
    return " ".join(text.split())


def _when(event: dict[str, Any]) -> str:
    """The time of the event in the zone of its job; as it stands if the event names none."""
    ts, zone = _word(event.get("ts"), "")[:64], _word(event.get("timezone"), "")
    if not ts or not zone:
        return ts
    try:
        local = datetime.fromisoformat(ts).astimezone(ZoneInfo(zone))
    except (ValueError, KeyError, OSError, OverflowError):
        return ts
    return f"{local:%Y-%m-%d %H:%M} {'UTC' if zone in ('UTC', 'Etc/UTC') else zone}"


def _word(value: object, default: str) -> str:
    return well_formed(str(value)[:500]) if isinstance(value, str | int | float) and str(value) else default


def _pieces(text: str, most: int) -> list[str]:
    """The text in pieces of at most `most` units, cut at line ends where possible, none of them blank."""
    pieces: list[str] = []
    at = 0
    # One piece more than is sent shows that there is more text.
    while at < len(text) and len(pieces) <= MOST_PARTS:
        # As many characters as fit; a character may have two units.
        end = at + most
        while units(text[at:end]) > most:
            end -= max(1, (units(text[at:end]) - most) // 2)
        if end < len(text):
            line = text.rfind("\n", (at + end) // 2, end)
            end = line if line > at else end
        piece = text[at:end].strip("\n")
        if any(unicodedata.category(char) not in _UNSEEN and char not in _UNSEEN_TOO for char in piece):
            pieces.append(piece)
        at = end
    return pieces
