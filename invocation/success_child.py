"""Checks the output of a run against the regular expressions and the JSON schema of its job. Started by `success`.

A regular expression, also one in a schema, can take practically for ever, and a process can't interrupt it itself. So
it is evaluated in this process, under resource limits of the system, which hold even if the scheduler is gone.

Input: one JSON object on stdin. Output: a line on stdout for each check that was decided, in the order of the input:
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

#: Of an output that is longer than twice this, only its first and its last PIECE bytes are searched, in whole lines.
PIECE = 512 * 1024
#: A longer output is not parsed as JSON; the answer of an `invoke` has the same limit.
LONGEST_JSON = 1024 * 1024
MEMORY = 1024 * 1024 * 1024
_SHOWN_ERRORS = 5
_EXCERPT = 200

Missed = dict[str, object]


def main() -> None:
    """Reads the input and makes the checks one by one. An unexpected error ends the process with a traceback."""
    options = json.loads(sys.stdin.buffer.read())
    _limit(options["cpu_sec"])
    sys.path[:] = options["path"]
    output = Output(options["stdout"])
    for name, condition in options["checks"].items():
        if name == "json_schema":
            missed = list(_against_schema(condition, output, options["result_key"]))
        else:
            missed = list(_against_pattern(name, condition, output))
        sys.stdout.write(json.dumps({"check": name, "missed": missed}) + "\n")
        sys.stdout.flush()


def _limit(cpu_sec: int) -> None:
    import resource

    # The hard limit of processor time is above the soft one, whose signal (SIGXCPU) tells the reason.
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
    """The file with the output of the run. Raises OSError, also if it was replaced by something else."""

    def __init__(self, path: str) -> None:
        self._file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115 - open as long as this process lives
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no longer a regular file")
        self.size = status.st_size

    def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start`."""
        self._file.seek(start)
        return self._file.read(size)

    def texts(self) -> list[str]:
        """The whole output as one text; of a long one its beginning and its end, without lines that were cut."""
        if self.size <= 2 * PIECE:
            return [self.read(0, 2 * PIECE).decode("utf-8", "replace")]
        head, tail = self.read(0, PIECE), self.read(self.size - PIECE, PIECE)
        head = head[: head.rfind(b"\n") + 1] or head
        tail = tail[tail.find(b"\n") + 1 :] or tail
        return [head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")]


def _against_pattern(name: str, pattern: str, output: Output) -> Iterator[Missed]:
    texts = output.texts()
    search = re.compile(pattern, re.MULTILINE).search
    match = next((match for text in texts if (match := search(text))), None)
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
        found = f"{output.size} bytes; at most {LONGEST_JSON} are parsed as JSON"
        yield {"check": "json_schema", "expected": "one JSON value", "found": found}
        return
    try:
        value = strict_json.parse(output.read(0, LONGEST_JSON))
    except strict_json.BadJson as bad:
        yield {"check": "json_schema", "expected": "one JSON value", "found": f"not JSON: {bad}"}
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
            path = {"path": _excerpt(error.json_path), "expected": _excerpt(expected)}
            yield {"check": "json_schema", **path, "found": _excerpt(error.message)}
    except RecursionError:
        yield {"check": "json_schema", "expected": "a schema that ends", "found": "it refers to itself without end"}
    except exceptions.Unresolvable as error:
        found = _excerpt(f"remote references are not fetched: {error}")
        yield {"check": "json_schema", "expected": "references within the schema", "found": found}


if __name__ == "__main__":
    main()
