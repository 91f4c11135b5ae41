"""Any report as text: a line for each field. For commands without a view of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from render.console import Report, ViewContext, status_text
from render.words import plain, when

#: A list or an object deeper than this is only counted.
_DEEPEST = 4
_LONGEST = 2_000


def fields(report: Report, context: ViewContext) -> RenderableType:
    """The fields of a report: texts and numbers in a line, what they hold below them, warnings left out."""
    return Group(*_lines({name: value for name, value in report.items() if name != "warnings"}, context, 0))


def _lines(record: Mapping[str, object], context: ViewContext, depth: int) -> Iterator[Text]:
    width = max([len(_name(name)) for name, value in record.items() if not _has_parts(value)], default=0)
    for name, value in record.items():
        label = Text("  " * depth)
        if not _has_parts(value):
            label.append(f"{_name(name):<{width}}  ", "bold")
            yield label.append_text(_text(name, value, context))
        elif depth >= _DEEPEST:
            yield label.append(f"{_name(name)}  ", "bold").append(f"{len(value)} entries", "not bold")  # type: ignore[arg-type]
        else:
            yield label.append(_name(name), "bold")
            yield from _parts(value, context, depth + 1)


def _parts(value: object, context: ViewContext, depth: int) -> Iterator[Text]:
    if isinstance(value, Mapping):
        yield from _lines(value, context, depth)
    elif isinstance(value, Sequence):
        for part in value:
            if _has_parts(part):
                first, *others = _parts(part, context, depth + 1)
                yield Text("  " * depth + "- ").append_text(Text("").append_text(first[2 * (depth + 1) :]))
                yield from others
            else:
                yield Text("  " * depth + "- ").append_text(_text("", part, context))


def _has_parts(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _name(name: str) -> str:
    return plain(name).replace("_", " ")


def _text(name: str, value: object, context: ViewContext) -> Text:
    if value is None or value in ([], {}, (), ""):
        return Text("-", "dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if name == "status":
        return status_text(value)
    if isinstance(value, str):
        return Text(when(value, context.now, context.zone) or plain(value, _LONGEST))
    return Text(plain(value))
