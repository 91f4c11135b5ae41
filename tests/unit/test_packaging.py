"""The version, the lock files, and the citations: each stands in one place, or leads to one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.version import VERSION

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_OURS = {".venv", "mutants", ".demo", ".git", ".peers", ".pytest_cache", "runs"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def python_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        if not NOT_OURS & set(path.relative_to(ROOT).parts):
            yield path


# --- the version ---


def test_the_build_reads_the_version_that_the_program_says() -> None:
    assert ProjectMetadata(str(ROOT), PluginManager()).version == VERSION


def test_no_other_file_of_the_program_says_the_version() -> None:
    files = [path for path in python_files() if path.relative_to(ROOT).parts[0] not in ("tests", "examples", "bench")]
    assert [
        str(path.relative_to(ROOT))
        for path in [*files, ROOT / "pyproject.toml", ROOT / "Makefile"]
        if f'"{VERSION}"' in path.read_text(encoding="utf-8")
    ] == ["core/version.py"]


# --- the lock files ---


SIBLING = ROOT / "examples" / "purutos" / "puruto-telegram"
USERS, SENDER, DEVELOPERS = (
    "requirements.lock",
    "examples/purutos/puruto-telegram/requirements.lock",
    "requirements-dev.lock",
)
LOCKS = (USERS, SENDER, DEVELOPERS)


def pins(lock: str) -> dict[str, Requirement]:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line.removesuffix("\\")) for line in lines if re.match(r"[a-z0-9]", line)]
    return {canonicalize_name(pin.name): pin for pin in found}


def sender_needs() -> list[str]:
    lines = (SIBLING / "requirements.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def declared() -> list[tuple[str, Requirement]]:
    extras = PROJECT["optional-dependencies"]
    asked = {
        USERS: PROJECT["dependencies"],
        SENDER: sender_needs(),
        DEVELOPERS: (*PROJECT["dependencies"], *extras["telegram"], *extras["dev"]),
    }
    found = [(lock, Requirement(text)) for lock, texts in asked.items() for text in texts]
    return [(lock, wanted) for lock, wanted in found if wanted.name != PROJECT["name"]]


@pytest.mark.parametrize(("lock", "wanted"), declared(), ids=lambda part: getattr(part, "name", part))
def test_what_the_project_asks_for_is_pinned_within_its_range(lock: str, wanted: Requirement) -> None:
    pin = pins(lock)[canonicalize_name(wanted.name)]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert wanted.specifier.contains(exact.version), f"{pin} is not {wanted}: make lock"
    assert pin.marker is None, "it is asked for everywhere"


@pytest.mark.parametrize(("lock", "least"), [(USERS, 15), (SENDER, 5), (DEVELOPERS, 40)])
def test_every_pin_has_hashes_and_none_names_a_place_to_load_from(lock: str, least: int) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(entries) == len(pins(lock)) > least
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--(?:extra-)?index|--find-links| @ ", text) == []


@pytest.mark.parametrize("lock", [USERS, SENDER])
def test_developers_have_the_same_releases_as_everybody(lock: str) -> None:
    everything = {name: pin.specifier for name, pin in pins(DEVELOPERS).items()}
    assert {name: pin.specifier for name, pin in pins(lock).items()}.items() <= everything.items()


def test_users_get_no_tool_and_no_sender() -> None:
    extras = PROJECT["optional-dependencies"]
    others = {canonicalize_name(Requirement(text).name) for text in (*extras["telegram"], *extras["dev"])}
    assert others & pins(USERS).keys() == set()
    assert {"hatchling", "pytest", "python-telegram-bot"} <= others


def test_the_sender_asks_for_what_the_project_asks_for() -> None:
    asked = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["telegram"]}
    assert set(sender_needs()) <= asked


# --- citations ---


CITED = re.compile(r"\b(docs/[\w/-]+\.md)(?: \"([^\"]+)\"|, rows? ((?:\d+(?:, | and )?)+))?")


def citations() -> Iterator[tuple[str, str, str, str]]:
    """File, document, heading, numbers of rows; of the last two one is empty."""
    for path in python_files():
        text = re.sub(r"\n[ #:]*", " ", path.read_text(encoding="utf-8"))
        for document, heading, numbers in re.findall(CITED, text):
            if heading or numbers:
                yield str(path.relative_to(ROOT)), document, heading, numbers


def test_a_citation_of_a_document_names_a_heading_or_a_row_that_is_there() -> None:
    cited = list(citations())
    assert len(cited) > 20
    wrong = []
    for path, document, heading, numbers in cited:
        text = (ROOT / document).read_text(encoding="utf-8") if (ROOT / document).is_file() else ""
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        rows = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
        if (heading and heading not in headings) or not set(re.findall(r"\d+", numbers)) <= set(rows):
            wrong.append(f"{path}: {document} {heading or numbers}")
    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("docs/decisions/*.md"), ROOT / "docs/contract.md", ROOT / "docs/design.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda path: path.name,
)
def test_a_file_of_ours_that_such_a_document_names_is_there(path: Path) -> None:
    named = re.findall(r"(?<![\w/-])((?:[a-z_]+/)+\w+\.py)\b", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_such_documents_name_files() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/decisions/0*.md"))
    assert len(set(re.findall(r"`(\w+/\w+\.py)`", text))) > 10


def test_every_record_is_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    records = sorted(path.name for path in ROOT.glob("docs/decisions/0*.md"))
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == records
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
