"""Holds what a run printed against the expressions and the schema of its job. A program of its own, see `success`.

A regular expression can take longer than anybody lives, also one in a schema, and nothing inside a process can stop it.
So it is tried here, under limits of the system that also hold when the scheduler is gone.

On stdin comes one JSON object. On stdout goes a line for each check that was decided, in the order asked:
`{"check": name, "missed": [{"check", "expected", "found", …}]}`.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import Any

#: Of a longer output only the whole lines in so much of its beginning and of its end are searched.
PIECE = 512 * 1024
#: A longer output is not read as JSON: an `invoke` may not answer more either.
LONGEST_JSON = 1024 * 1024
MEMORY = 1024 * 1024 * 1024
_SHOWN_ERRORS = 5
_EXCERPT = 200

Missed = dict[str, object]


def main() -> None:
    """Reads the question, answers it line by line. Whatever is not foreseen ends it with a traceback."""
    asked = json.loads(sys.stdin.buffer.read())
    _limit(asked["cpu_sec"])
    sys.path[:] = asked["path"]
    output = Output(asked["stdout"])
    for name, wanted in asked["checks"].items():
        if name == "json_schema":
            missed = list(_against_schema(wanted, output, asked["result_key"]))
        else:
            missed = list(_against_pattern(name, wanted, output))
        sys.stdout.write(json.dumps({"check": name, "missed": missed}) + "\n")
        sys.stdout.flush()


def _limit(cpu_sec: int) -> None:
    import resource

    # The hard limit of computing lies above the soft one, whose signal says what it was.
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu_sec, cpu_sec + 1),
        (resource.RLIMIT_AS, MEMORY, MEMORY),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        most = resource.getrlimit(kind)[1]
        bounds = (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
        try:
            resource.setrlimit(kind, bounds)
        except (ValueError, OSError):
            # macOS (untried) documents no limit of memory.
            continue


class Output:
    """What the run printed: the file, unless something else was put in its place. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115 - open as long as this process lives
        found = os.fstat(self._file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file any more")
        self.size = found.st_size

    def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start`."""
        self._file.seek(start)
        return self._file.read(size)

    def texts(self) -> list[str]:
        """All of it as text; of a long one its beginning and its end, without the lines that are cut."""
        if self.size <= 2 * PIECE:
            return [self.read(0, 2 * PIECE).decode("utf-8", "replace")]
        head, tail = self.read(0, PIECE), self.read(self.size - PIECE, PIECE)
        head = head[: head.rfind(b"\n") + 1] or head
        tail = tail[tail.find(b"\n") + 1 :] or tail
        return [head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")]


def _against_pattern(name: str, pattern: str, output: Output) -> Iterator[Missed]:
    texts = output.texts()
    search = re.compile(pattern, re.MULTILINE).search
    match = next((found for text in texts if (found := search(text))), None)
    missed: Missed = {"check": name, "expected": pattern, "stdout_bytes": output.size}
    if name == "stdout_matches" and match is None:
        yield {**missed, "found": _excerpt(texts[-1][-_EXCERPT:])}
    if name == "stdout_not_matches" and match is not None:
        yield {**missed, "found": _excerpt(match[0])}


def _excerpt(text: str) -> str:
    return text[:_EXCERPT].replace("\0", "\ufffd")


def _against_schema(schema: dict[str, Any], output: Output, result_key: str) -> Iterator[Missed]:
    from core import strict_json

    if output.size > LONGEST_JSON:
        found = f"{output.size} bytes; at most {LONGEST_JSON} are read as JSON"
        yield {"check": "json_schema", "expected": "one JSON value", "found": found}
        return
    try:
        value = strict_json.parse(output.read(0, LONGEST_JSON))
    except strict_json.BadJson as bad:
        yield {"check": "json_schema", "expected": "one JSON value", "found": f"no JSON: {bad}"}
        return
    if result_key:
        value = (value.get(result_key) if isinstance(value, dict) else None) or {}
    yield from _unfit(value, schema)


def _unfit(value: object, schema: dict[str, Any]) -> Iterator[Missed]:
    from itertools import islice

    from jsonschema import validators
    from referencing import Registry, exceptions

    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    # An empty registry retrieves nothing, whatever a $ref names.
    faults = kind(schema, registry=Registry()).iter_errors(value)
    try:
        for error in islice(faults, _SHOWN_ERRORS):
            expected = f"{error.validator}: {json.dumps(error.validator_value, ensure_ascii=False)}"
            place = {"path": _excerpt(error.json_path), "expected": _excerpt(expected)}
            yield {"check": "json_schema", **place, "found": _excerpt(error.message)}
    except RecursionError:
        yield {"check": "json_schema", "expected": "a schema that ends", "found": "it leads back to itself for ever"}
    except exceptions.Unresolvable as error:
        found = _excerpt(f"nothing is fetched: {error}")
        yield {"check": "json_schema", "expected": "references within the schema", "found": found}


if __name__ == "__main__":
    main()
