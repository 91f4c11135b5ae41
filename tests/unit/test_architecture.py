"""The arrows between the rooms, and the habits of this code.

Imports inside functions count like those at the top: they are arrows too. Imports under TYPE_CHECKING do not count:
they are gone when the program runs, and exist so that what a constructor is given can be named.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import errors, invocation_errors

PROJECT = Path(__file__).resolve().parents[2]
NOT_THE_PROGRAM = {"tests", "bench", "examples", "tools", "docs", "runs", "db", "notifications", "build", "dist"}

ALLOWED: dict[str, str] = {
    # leaves
    "errors": "",
    "invocation_errors": "errors",
    "folders": "",
    "model": "",
    "models": "model",
    "crash": "",
    "redact": "",
    "strict_json": "",
    "boundary": "errors models",
    "ping": "boundary",
    "definition": "errors models",
    # many courses of work in one thread
    "waiting": "boundary errors",
    "courses": "boundary errors models waiting",
    # what people write down
    "settings": "errors environment redact",
    "environment": "",
    "jobs": "errors models jobfile",
    "jobfile": "errors model models",
    "schedules": "errors timetable",
    "timetable": "errors",
    # what is stored; db loads store.migrations when there is something to migrate
    "db": "crash errors store",
    "store": "boundary crash errors folders models db definition",
    # deciding, without a disk
    "planner": "models",
    "settle": "crash errors models boundary",
    "health": "models settle store",
    "retention": "boundary models",
    "control": "crash errors models settle",
    # what the daemon stands on: it knows no job and no store
    "waking": "errors models",
    # telling
    "notifier": "crash errors folders models",
    # one way down: daemon → scheduler → serving → executor, which is given an invoke
    "daemon": "beside boundary claiming courses errors models serving",
    "beside": "boundary models",
    "scheduler": "errors models boundary claiming courses planner serving settle executor store",
    "executor": "invocation_errors calls conversation crash errors models redact retries verdicts waiting",
    "serving": "boundary claiming courses errors executor models store verdicts",
    "claiming": "models planner retries store verdicts",
    "retries": "models",
    "upkeep": "models store",
    "conversation": "invocation_errors models strict_json",
    "calls": "models",
    "verdicts": "invocation_errors models redact",
    "gates": "models",
    "sync": "errors models planner store",
    # starting programs; invoker.py hands over to invoker_program when it is one itself
    "invoker": "invocation_errors models processes run_files runners success waiting invoker_program",
    "run_files": "invocation_errors folders models runners strict_json",
    "success": "invocation_errors models strict_json processes runners",
    "inspector": "strict_json",
    "invoker_program": "errors models strict_json processes policy runners settings targets invoker",
    "runners": "invocation_errors models strict_json",
    "targets": "invocation_errors models strict_json",
    "policy": "invocation_errors models strict_json",
    "processes": "invocation_errors crash models adoption family process_table start_errors waiting",
    "process_table": "models waiting",
    "family": "models process_table waiting",
    "adoption": "models process_table",
    "start_errors": "invocation_errors strict_json",
    # what a run would be
    "rehearsal": "calls conversation invoker models policy runners targets",
    # for people, and for good
    "people": "errors models",
    "overview": "boundary health models planner store",
    "installing": "",
    "crontabs": "errors installing redact",
    # looks at everything and starts nothing of it; what the whole program knows, it is given
    "doctor": "crontabs errors installing models boundary db health store idle settings jobs schedules planner policy"
    " targets runners invoker start_errors strict_json",
    # the way in
    "idle": "errors db store",
    "instants": "models schedules",
    "stop_signals": "processes",
    "rooms": "claiming control db definition errors executor gates idle instants invoker jobfile jobs models notifier"
    " planner policy processes redact retention retries runners scheduler schedules serving settings settle"
    " store sync targets verdicts waking",
    "wiring": "boundary health idle jobs models ping planner rehearsal rooms schedules store processes upkeep waking",
    "program": "boundary errors gates health idle models processes runners wiring waking",
    "commands": "boundary crash crontabs daemon db doctor errors folders health idle installing instants jobs models"
    " overview people planner processes program redact schedules settings stop_signals store targets waking"
    " wiring",
    "main": "errors idle commands",
}

#: Libraries, and modules of the standard library with a price or a danger, each with those that may import it.
OWNERS: dict[str, str] = {
    "sqlite3": "db",
    "click": "commands",
    "croniter": "schedules timetable",
    "tzlocal": "schedules timetable",
    "jsonschema": "jobfile inspector",
    "referencing": "jobfile inspector",
    "pydantic": "jobs jobfile",
    "pydantic_core": "jobs jobfile",
    "annotated_types": "model jobs jobfile",
    "dotenv": "environment",
    "psutil": "processes process_table",
    "subprocess": "processes process_table doctor crontabs",
    "fcntl": "folders notifier doctor waking",
    "filelock": "jobfile waking",
    "ctypes": "adoption waking",
    "rich": "people",
}

#: Programs of their own: they make the clock that the rooms are given.
MAINS = {"main.py", "invoker_program.py"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 70


@dataclass(frozen=True)
class Source:
    """One file of the program. `room` is the module, or the folder that it lies in."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @property
    def room(self) -> str:
        return self.path.relative_to(PROJECT).parts[0].removesuffix(".py")

    def imports(self) -> Iterator[str]:
        """The full names of what is imported when the program runs."""
        for node in _running(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno} imports by its place"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


def _sources() -> list[Source]:
    found = []
    for path in sorted([*PROJECT.glob("*.py"), *PROJECT.glob("[a-z]*/**/*.py")]):
        if path.relative_to(PROJECT).parts[0] not in NOT_THE_PROGRAM:
            text = path.read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text)))
    return found


SOURCES = _sources()
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


# --- arrows ---


def test_every_room_is_in_the_table_and_the_table_names_only_rooms() -> None:
    rooms = {source.room for source in SOURCES}
    assert rooms == set(ALLOWED)
    named = {word for words in ALLOWED.values() for word in words.split()}
    assert named <= rooms


@each_source
def test_a_room_imports_only_what_its_arrows_allow(source: Source) -> None:
    rooms = {name.split(".")[0] for name in source.imports()} & set(ALLOWED)
    assert rooms - {source.room} <= set(ALLOWED[source.room].split())


@each_source
def test_a_library_is_imported_by_its_owner_alone(source: Source) -> None:
    libraries = {name.split(".")[0] for name in source.imports()}
    for library in libraries & set(OWNERS):
        assert source.room in OWNERS[library].split(), f"{source.name} imports {library}"


def test_every_arrow_is_still_needed() -> None:
    used = {(source.room, name.split(".")[0]) for source in SOURCES for name in source.imports()}
    assert {(room, word) for room, words in ALLOWED.items() for word in words.split()} <= used


def test_every_owner_still_uses_what_it_owns() -> None:
    used = {(name.split(".")[0], source.room) for source in SOURCES for name in source.imports()}
    for library, owners in OWNERS.items():
        assert any((library, owner) in used for owner in owners.split()), library


def test_the_arrows_make_no_circle_but_two_that_are_loaded_late() -> None:
    late = {("db", "store"), ("invoker", "invoker_program")}
    arrows = {room: [word for word in words.split() if (room, word) not in late] for room, words in ALLOWED.items()}
    done: set[str] = set()

    def visit(room: str, above: tuple[str, ...]) -> None:
        assert room not in above, f"{' → '.join(above)} → {room}"
        if room not in done:
            for other in arrows[room]:
                visit(other, (*above, room))
            done.add(room)

    for room in arrows:
        visit(room, ())


@pytest.mark.parametrize(("room", "other"), [("db", "store"), ("invoker", "invoker_program")])
def test_what_is_loaded_late_is_not_imported_at_the_top(room: str, other: str) -> None:
    (source,) = [source for source in SOURCES if source.name == f"{room}.py"]
    top = {(node.module or "").split(".")[0] for node in source.tree.body if isinstance(node, ast.ImportFrom)} | {
        alias.name.split(".")[0] for node in source.tree.body if isinstance(node, ast.Import) for alias in node.names
    }
    assert other not in top


@pytest.mark.parametrize("name", ["main.py", "idle.py", "db.py", "errors.py", "store/__init__.py", "store/look.py"])
def test_what_the_idle_tick_loads_imports_next_to_nothing_at_the_top(name: str) -> None:
    (source,) = [source for source in SOURCES if source.name == name]
    cheap = {"__future__", "os", "stat", "sys", "time", "datetime", "sqlite3", "gc"}
    cheap |= {"crash", "idle", "db", "errors", "store"}
    top: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            top |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            top.add((node.module or "").split(".")[0])
    assert top <= cheap


# --- habits ---


def _calls(source: Source) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each call."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


_CLOCK = re.compile(
    r"(datetime\.)*(datetime|date)\.(now|utcnow|today|fromtimestamp)"
    r"|time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep|localtime|gmtime|ctime)"
)


@each_source
def test_nobody_but_the_mains_asks_the_system_for_the_time(source: Source) -> None:
    if source.name in MAINS:
        return
    asked = [
        (line, name)
        for line, name in _calls(source)
        # Of a given instant: no question to the clock.
        if _CLOCK.fullmatch(name) and not name.endswith("fromtimestamp")
    ]
    assert asked == []
    assert not any(name.split(".")[0] == "time" for name in source.imports()), "the module `time` is not needed"


@each_source
def test_nothing_goes_through_a_shell(source: Source) -> None:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert isinstance(node.value, ast.Constant), source.name
            assert node.value.value is False, source.name
    shells = {
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "pty.spawn",
        "eval",
        "exec",
    }
    assert not [name for _, name in _calls(source) if name in shells or name.startswith(("os.spawn", "os.exec"))]


def _handlers() -> Iterator[tuple[str, ast.ExceptHandler, set[str]]]:
    for source in SOURCES:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler):
                caught = (
                    set()
                    if node.type is None
                    else {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                )
                yield f"{source.name}:{node.lineno}", node, caught


def test_everything_is_caught_in_three_places_at_most_each_with_its_reason() -> None:
    places = [place for place, _, caught in _handlers() if "Exception" in caught]
    assert len(places) <= 3, places
    assert {place.split(":")[0] for place in places} <= {"commands/__init__.py", "boundary.py"}
    texts = {source.name: source.text.splitlines() for source in SOURCES}
    for place in places:
        name, line = place.split(":")
        text = texts[name][int(line) - 1]
        assert re.search(r"# noqa: BLE001 - \w+", text), place


def test_nothing_is_caught_blindly_and_what_ends_the_program_goes_through() -> None:
    for place, handler, caught in _handlers():
        assert handler.type is not None, f"{place} catches without a name"
        if "BaseException" in caught:
            assert isinstance(handler.body[-1], ast.Raise), f"{place} keeps what ends the program"
            assert handler.body[-1].exc is None, place


@each_source
def test_a_file_stays_short(source: Source) -> None:
    assert source.text.count("\n") <= LONGEST_FILE


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@each_source
def test_a_function_stays_short(source: Source) -> None:
    long = [(node.name, _length(node)) for node in _functions(source.tree) if _length(node) > LONGEST_FUNCTION]
    assert long == []


def test_nine_functions_in_ten_fit_into_32_lines_and_half_into_12() -> None:
    lengths = sorted(_length(node) for source in SOURCES for node in _functions(source.tree))
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 32


#: Methods whose contract is said where a Protocol or a base class of the program declares them.
_DECLARED = {
    member.name
    for source in SOURCES
    for node in ast.walk(source.tree)
    if isinstance(node, ast.ClassDef)
    and ("Protocol" in {ast.unparse(base) for base in node.bases} or node.name in ("Runner", "AgentRunner"))
    for member in node.body
    if isinstance(member, ast.FunctionDef)
}


def _undocumented(source: Source) -> Iterator[str]:
    """Public functions, classes and methods without a docstring."""
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield node.name
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_") and not _says_it_all(member):
                yield f"{node.name}.{member.name}"


def _says_it_all(member: ast.FunctionDef) -> bool:
    """Documented, declared elsewhere, or a property that is one expression: its name and its type say it."""
    is_property = "property" in {ast.unparse(decorator) for decorator in member.decorator_list}
    plain = is_property and len(member.body) == 1
    return ast.get_docstring(member) is not None or member.name in _DECLARED or plain


@each_source
def test_what_is_public_says_what_it_is(source: Source) -> None:
    assert ast.get_docstring(source.tree), f"{source.name} has no docstring"
    assert list(_undocumented(source)) == []


@each_source
def test_a_comment_gives_a_reason_and_not_the_history_of_an_edit(source: Source) -> None:
    words = re.compile(
        r"#.*\b(TODO|FIXME|XXX|HACK|formerly|previously|no longer needed|used to be|was renamed)\b", re.I
    )
    assert words.findall(source.text) == []


# --- errors ---


def _error_classes() -> list[type[errors.CronError]]:
    every = {**vars(errors), **vars(invocation_errors)}.values()
    found = [kind for kind in every if isinstance(kind, type) and issubclass(kind, errors.CronError)]
    return sorted(found, key=lambda kind: kind.__name__)


def test_each_code_belongs_to_one_error() -> None:
    owners: dict[str, list[type[errors.CronError]]] = {}
    for kind in _error_classes():
        if "code" in vars(kind):
            owners.setdefault(kind.code, []).append(kind)
    for code, kinds in owners.items():
        # A class may say again what the class above it says: its root answers for all that has no better word.
        roots = [kind for kind in kinds if not any(kind is not other and issubclass(kind, other) for other in kinds)]
        assert len(roots) == 1, (code, kinds)


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_has_a_code_in_capitals_and_an_exit_code_of_the_contract(kind: type[errors.CronError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", kind.code)
    assert kind.exit_code in (1, 2, 130)
    if issubclass(kind, errors.ConfigurationError | errors.UsageError):
        assert kind.exit_code == 2


def test_every_error_class_is_raised_or_is_a_root() -> None:
    used = {node.id for source in SOURCES for node in ast.walk(source.tree) if isinstance(node, ast.Name)}
    unused = [kind.__name__ for kind in _error_classes() if kind.__name__ not in used and not kind.__subclasses__()]
    assert unused == []


# --- what is shipped ---


def _project() -> dict[str, Any]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_the_wheel_holds_every_room() -> None:
    shipped = _project()["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    folders = {f"/{source.room}" for source in SOURCES if source.path.parent != PROJECT}
    assert set(shipped) == folders | {"/*.py", "/sql"}


def test_every_library_that_is_asked_for_is_used() -> None:
    used = {name.split(".")[0] for source in SOURCES for name in source.imports()}
    modules = {"annotated-types": "annotated_types", "python-dotenv": "dotenv"}
    asked = [re.split(r"[>=<\[ ]", text)[0] for text in _project()["project"]["dependencies"]]
    # tzdata is found by the standard library's zoneinfo.
    unused = [name for name in asked if modules.get(name, name) not in used and name != "tzdata"]
    assert unused == []
