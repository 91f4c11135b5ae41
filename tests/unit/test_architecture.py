"""The arrows between packages, and the habits of this code. One case a rule; each lists all that breaks it.

Arrows between packages, and who owns which library, are contracts in pyproject.toml, checked by import-linter. It
does not read modules at the root: the arrows of those six stand here. Imports inside functions count like those at
the top. Imports under TYPE_CHECKING do not: they are gone when the program runs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import errors, invocation_errors

PROJECT = Path(__file__).resolve().parents[2]
NOT_THE_PROGRAM = {"tests", "bench", "examples", "tools", "docs", "runs", "db", "notifications", "build", "dist"}

#: The six modules of the root: the packages below them, and who may call them.
#: Source: docs/architecture.md "The spine".
SPINE: dict[str, tuple[str, str]] = {
    "main": ("core app commands", ""),
    "scheduler": ("core executor schedules scheduling store", "app"),
    "executor": ("channels core execution gates system", "app scheduling scheduler"),
    "invoker": ("core invocation system", "app"),
    "notifier": ("channels core", "app"),
    "db": ("core", "app commands doctor store"),
}
#: What kinds are made of: what a method is for is said there.
KIND_BASES = ("Runner", "AgentRunner", "Channel", "FileChannel", "PlainChannel", "Gate")
#: The clock that everybody else is handed.
CLOCK = "core/system_clock.py"


LONGEST_FILE = 400
LONGEST_FUNCTION = 70


@dataclass(frozen=True)
class Source:
    """One file of the program. `top` is the module, or the folder that it lies in."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @property
    def top(self) -> str:
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
    """All nodes but those under `if TYPE_CHECKING:`, and what a module does only when it is the program itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "__name__ == '__main__'":
            continue
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


def _tops(source: Source) -> set[str]:
    """The packages and libraries that a file imports."""
    return {name.split(".")[0] for name in source.imports()}


def _sources() -> list[Source]:
    found = []
    for path in sorted([*PROJECT.glob("*.py"), *PROJECT.glob("[a-z]*/**/*.py")]):
        if path.relative_to(PROJECT).parts[0] not in NOT_THE_PROGRAM:
            text = path.read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text)))
    return found


SOURCES = _sources()


# --- arrows ---


def _project() -> dict[str, Any]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def _contracts() -> list[str]:
    contracts: list[dict[str, Any]] = _project()["tool"]["importlinter"]["contracts"]
    return [contract["id"] for contract in contracts]


@pytest.mark.parametrize("contract", _contracts())
def test_a_contract_between_packages_is_kept(contract: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(PROJECT)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = lint_imports(config_filename="pyproject.toml", limit_to_contracts=(contract,), cache_dir=None)
    assert code == 0, output.getvalue()


def test_every_package_is_under_the_contracts() -> None:
    config = _project()["tool"]["importlinter"]
    (layers,) = [contract["layers"] for contract in config["contracts"] if contract["id"] == "layers"]
    (circles,) = [contract["ancestors"] for contract in config["contracts"] if contract["id"] == "circles"]
    packages = {source.top for source in SOURCES} - set(SPINE)
    assert set(config["root_packages"]) == packages
    assert {name.strip() for layer in layers for name in layer.split("|")} == packages
    assert set(circles) == packages


def test_the_root_has_six_modules() -> None:
    assert {source.top for source in SOURCES if source.path.parent == PROJECT} == set(SPINE)


@pytest.mark.parametrize("name", SPINE)
def test_a_module_of_the_root_imports_what_is_below_it(name: str) -> None:
    (source,) = [source for source in SOURCES if source.name == f"{name}.py"]
    tops = {source.top for source in SOURCES}
    used = {imported.split(".")[0] for imported in source.imports()} & tops
    assert used == set(SPINE[name][0].split())


@pytest.mark.parametrize("name", SPINE)
def test_a_module_of_the_root_is_imported_from_above_alone(name: str) -> None:
    users = {source.top for source in SOURCES for imported in source.imports() if imported.split(".")[0] == name}
    assert users == set(SPINE[name][1].split())


def test_sqlite3_is_imported_by_db_alone() -> None:
    assert [source.name for source in SOURCES if "sqlite3" in _tops(source)] == ["db.py"]


@pytest.mark.parametrize(
    "name",
    ["main.py", "app/__init__.py", "app/fast_tick.py", "core/__init__.py", "core/crash_points.py", "core/errors.py",
     "core/system_clock.py",
     "db.py", "store/__init__.py", "store/last_tick.py", "store/idle_check.py"],
)  # fmt: skip
def test_what_a_fast_tick_loads_imports_next_to_nothing_at_the_top(name: str) -> None:
    (source,) = [source for source in SOURCES if source.name == name]
    cheap = {"__future__", "os", "stat", "sys", "time", "datetime", "sqlite3", "gc", "app", "core", "db", "store"}
    top: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            top |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            top.add((node.module or "").split(".")[0])
    assert top <= cheap


def test_every_package_says_what_it_is_for_and_where_a_new_thing_goes() -> None:
    for source in SOURCES:
        if source.path.name == "__init__.py":
            text = ast.get_docstring(source.tree) or ""
            assert len(text.splitlines()) >= 3, f"{source.name}: {text}"
            assert re.search(r"\bnew\b", text), f"{source.name} does not say where a new thing of its kind goes"


_MAY_IMPORT = re.compile(r"\bIt (?:may import|imports) (.*?)[.;](?=\s)", re.DOTALL)


@pytest.mark.parametrize("package", sorted({source.top for source in SOURCES} - set(SPINE)))
def test_a_package_imports_what_it_says_that_it_may(package: str) -> None:
    (start,) = [source for source in SOURCES if source.name == f"{package}/__init__.py"]
    said = _MAY_IMPORT.search(ast.get_docstring(start.tree) or "")
    assert said is not None, f"{package} does not say what it may import"
    tops = {source.top for source in SOURCES}
    used = {top for source in SOURCES if source.top == package for top in _tops(source)} & tops - {package}
    if "everything below it" not in said[1]:
        # What it is the only user of, or must not know, is named by other words than a package's.
        assert set(re.findall(r"`(\w+)`", said[1])) & tops == used


def test_every_command_has_a_place_in_the_help() -> None:
    commands = [source for source in SOURCES if source.name.startswith("commands/") and source.path.stem != "__init__"]
    files = [source for source in commands if "\n@click.command(" in source.text]
    assert len(files) > 25
    assert [source.name for source in files if "\nPLACE = (" not in source.text] == [], "without it nobody finds it"


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


def test_nobody_but_the_one_clock_asks_the_system_for_the_time() -> None:
    others = [source for source in SOURCES if source.name != CLOCK]
    asked = [
        (source.name, line, name)
        for source in others
        for line, name in _calls(source)
        # Of a given instant: no question to the clock.
        if _CLOCK.fullmatch(name) and not name.endswith("fromtimestamp")
    ]
    assert asked == []
    assert [source.name for source in others if "time" in _tops(source)] == [], "the module `time` is not needed"


_SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn", "eval", "exec"}


def test_nothing_goes_through_a_shell() -> None:
    shells = [
        (source.name, node.value.lineno)
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.keyword)
        and node.arg == "shell"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert shells == []
    assert [
        (source.name, line, name)
        for source in SOURCES
        for line, name in _calls(source)
        if name in _SHELLS or name.startswith(("os.spawn", "os.exec"))
    ] == []


@pytest.mark.parametrize(
    ("call", "places"),
    [
        # `main.py` and a child that is about to be started only set aside what Python or a caller has set.
        ("signal.signal", {"system/stop_signals.py", "system/processes.py", "main.py"}),
        ("os.pipe", {"system/self_pipe.py"}),
        # A rename is durable only after a sync of the folder; what retention moves, it deletes.
        ("os.replace", {"core/durable.py"}),
        ("os.rename", {"maintenance/trees.py"}),
        # The codec of jobs writes one form for one job, with its keys in order.
        ("json.JSONEncoder", {"core/strict_json.py", "store/job_codec.py"}),
    ],
)
def test_what_has_a_place_of_its_own_is_done_there_alone(call: str, places: set[str]) -> None:
    assert {source.name for source in SOURCES for _, name in _calls(source) if name == call} == places


def test_no_path_is_renamed_past_the_helper_that_syncs_its_folder() -> None:
    """`Path.replace` is the `replace` with one argument: that of a text has two, that of an instant has names."""
    calls = [(s.name, node) for s in SOURCES for node in ast.walk(s.tree) if isinstance(node, ast.Call)]
    named = [(name, node.func.attr, node) for name, node in calls if isinstance(node.func, ast.Attribute)]
    others = {"rename", "renames", "link", "hardlink_to", "link_to", "move"}
    assert {name for name, attr, _ in named if attr in others} == {"maintenance/trees.py"}
    assert [name for name, attr, node in named if attr == "replace" and len(node.args) == 1 and not node.keywords] == []


def test_whether_a_file_exists_is_asked_in_a_way_that_does_not_raise() -> None:
    """`Path.is_file()` raises PermissionError in a folder that this user may not enter; `os.path.isfile` does not."""
    asks = {"exists", "is_file", "is_dir", "is_symlink"}
    found = [
        f"{source.name}:{node.lineno}"
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in asks and not node.args and not node.keywords
    ]
    assert not found


def test_one_place_decides_between_json_and_text() -> None:
    printers = {source.name for source in SOURCES for _, name in _calls(source) if name == "print_json"}
    assert printers == {"commands/view.py"}


def test_no_lambda_binds_a_variable_of_its_loop_by_a_default() -> None:
    """`functools.partial` says the same, and mypy can check it."""
    bound = [
        (source.name, node.lineno)
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Lambda)
        for name, value in zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
        if isinstance(value, ast.Name) and value.id == name.arg
    ]
    assert bound == []


def test_numbers_of_json_are_bounded_by_one_reader() -> None:
    bounded = [
        source.name
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.keyword) and node.arg in ("parse_int", "parse_float", "parse_constant")
    ]
    assert set(bounded) == {"core/strict_json.py"}


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
    assert {place.split(":")[0] for place in places} <= {"commands/__init__.py", "core/boundary.py", "core/log.py"}
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


def test_a_long_file_is_remarked_upon() -> None:
    long = {source.name: lines for source in SOURCES if (lines := source.text.count("\n")) > LONGEST_FILE}
    if long:
        warnings.warn(f"more than {LONGEST_FILE} lines: is it still one thing? {long}", stacklevel=1)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_a_function_stays_short() -> None:
    long = [
        (source.name, node.name, length)
        for source in SOURCES
        for node in _functions(source.tree)
        if (length := _length(node)) > LONGEST_FUNCTION
    ]
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
    and ("Protocol" in {ast.unparse(base) for base in node.bases} or node.name in KIND_BASES)
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


def test_what_is_public_says_what_it_is() -> None:
    assert [source.name for source in SOURCES if not ast.get_docstring(source.tree)] == []
    assert [(source.name, name) for source in SOURCES for name in _undocumented(source)] == []


def test_a_comment_gives_a_reason_and_not_the_history_of_an_edit() -> None:
    words = re.compile(
        r"#.*\b(TODO|FIXME|XXX|HACK|formerly|previously|no longer needed|used to be|was renamed)\b", re.I
    )
    assert [(source.name, found) for source in SOURCES if (found := words.findall(source.text))] == []


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


def test_an_error_has_a_code_in_capitals_and_an_exit_code_of_the_contract() -> None:
    for kind in _error_classes():
        assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", kind.code), kind
        assert kind.exit_code in (1, 2, 130), kind
        if issubclass(kind, errors.ConfigurationError | errors.UsageError):
            assert kind.exit_code == 2, kind


def test_every_error_class_is_raised_or_is_a_root() -> None:
    used = {node.id for source in SOURCES for node in ast.walk(source.tree) if isinstance(node, ast.Name)}
    unused = [kind.__name__ for kind in _error_classes() if kind.__name__ not in used and not kind.__subclasses__()]
    assert unused == []


# --- what is shipped ---


def test_the_wheel_holds_every_package() -> None:
    shipped = _project()["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    folders = {f"/{source.top}" for source in SOURCES if source.path.parent != PROJECT}
    assert set(shipped) == folders | {"/*.py"}


def test_every_library_that_is_asked_for_is_used() -> None:
    used = {name.split(".")[0] for source in SOURCES for name in source.imports()}
    modules = {"annotated-types": "annotated_types", "python-dotenv": "dotenv"}
    asked = [re.split(r"[>=<\[ ]", text)[0] for text in _project()["project"]["dependencies"]]
    # tzdata is found by the standard library's zoneinfo.
    unused = [name for name in asked if modules.get(name, name) not in used and name != "tzdata"]
    assert unused == []
