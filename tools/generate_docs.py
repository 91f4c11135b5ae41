"""Writes what is generated: the JSON Schema of .jobs.json, .env.example, and tables in the documents.

    python3 tools/generate_docs.py            writes what is out of date
    python3 tools/generate_docs.py --check    writes nothing, names what is out of date, and exits 1 if anything is

Generated text is between `<!-- generated: NAME -->` and `<!-- end generated -->`; `TABLES` has the names.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from config import settings  # noqa: E402
from jobs import jobs_file  # noqa: E402  (the folder of main.py is on the path only now)
from tests import support_crontab_dialects  # noqa: E402
from tools import kind_docs  # noqa: E402
from tools.command_docs import command_help, command_table  # noqa: E402

SCHEMA_FILE = "docs/jobs.schema.json"
EXAMPLE_FILE = ".env.example"

_OPENING = re.compile(r"<!-- generated: (.*?) -->")
_BLOCK = re.compile(r"(<!-- generated: (.*?) -->\n).*?(<!-- end generated -->)", re.DOTALL)

_EXAMPLE_HEAD = """\
# Settings of puruto-cron, each with its default. Copy this file to .env and remove the # before what you change;
# copied as it is, it changes nothing. Made from config/variables.py by tools/generate_docs.py.
#
# - The environment wins over this file. An empty value counts as unset.
# - Paths start at the folder that holds main.py; ~ is your home folder.
# - ${NAME} and ${NAME:-default} are replaced by other variables, without quotes and in "double quotes". In
#   'single quotes' they stand for themselves. (Read by python-dotenv alone, they would be replaced there too.)
# - Secrets for jobs stand here as well. A process sees only those that its job names in "allow_env".
"""


class BrokenMarkers(Exception):
    """A document has a marker for a table that does not exist, or no end marker."""


def env_example() -> str:
    """The text of `.env.example`: every variable with its default, commented out."""
    parts = [_EXAMPLE_HEAD]
    for variable in settings.VARIABLES:
        allowed = variable.allowed[0].upper() + variable.allowed[1:]
        parts.append(f"\n# {variable.meaning}\n# {allowed}.\n#{variable.name}={variable.default}\n")
    return "".join(parts)


def environment_table() -> str:
    """A Markdown table of all variables."""
    rows = ["| variable | default | must be | meaning |", "|---|---|---|---|"]
    for variable in settings.VARIABLES:
        default = f"`{variable.default}`" if variable.default else "unset"
        rows.append(f"| `{variable.name}` | {default} | {variable.allowed} | {variable.meaning} |")
    return "\n".join(rows) + "\n"


def schema_text() -> str:
    """The text of `docs/jobs.schema.json`."""
    return json.dumps(jobs_file.json_schema(), indent=2, ensure_ascii=False) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "job fields": jobs_file.fields_table,
    "environment": environment_table,
    "commands": command_table,
    "command help": command_help,
    "crontab dialects": support_crontab_dialects.table,
    **kind_docs.tables(),
}


def with_tables(text: str) -> str:
    """`text` with new tables between its markers. Raises `BrokenMarkers`."""
    replaced = _BLOCK.sub(_filled, text)
    if len(_OPENING.findall(text)) != len(_BLOCK.findall(text)):
        raise BrokenMarkers("a marker <!-- generated: … --> has no <!-- end generated -->")
    return replaced


def _filled(block: re.Match[str]) -> str:
    opening, name, closing = block.groups()
    if name not in TABLES:
        raise BrokenMarkers(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    return f"{opening}{TABLES[name]()}{closing}"


def wanted(root: Path) -> dict[Path, str]:
    """The generated files under `root` with the text that they should have. Raises `BrokenMarkers` with the name."""
    files = {root / SCHEMA_FILE: schema_text(), root / EXAMPLE_FILE: env_example()}
    for path in sorted([*root.glob("README*.md"), *root.glob("docs/**/*.md")]):
        try:
            files[path] = with_tables(path.read_text(encoding="utf-8"))
        except BrokenMarkers as error:
            raise BrokenMarkers(f"{path.relative_to(root)}: {error}") from None
    return files


def outdated(root: Path) -> dict[Path, str]:
    """The files of `wanted` that are missing or have another text."""
    return {
        path: text
        for path, text in wanted(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Writes or, with `--check`, only names what is out of date. The exit code: 0 fine, 1 out of date, 2 bad usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        old = outdated(root)
    except BrokenMarkers as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path, text in old.items():
        if arguments:
            sys.stderr.write(f"{path.relative_to(root)} is out of date; run: python3 tools/generate_docs.py\n")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {path.relative_to(root)}\n")
    return 1 if arguments and old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
