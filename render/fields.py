"""Any report as text: a line for each field. For commands without a view of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

from rich.console import RenderableType
from rich.text import Text

from render.console import Report, ViewContext, status_text
from render.hanging import Hanging
from render.parts import together
from render.words import counted, plain, when

#: What is deeper than this is only counted.
_DEEPEST = 4
_LONGEST = 2_000


def fields(report: Report, context: ViewContext) -> RenderableType:
    """The fields of a report: texts and numbers in a line, what they hold below them; warnings are left out."""
    return together(list(_lines({name: value for name, value in report.items() if name != "warnings"}, context, 0)))


def _lines(record: Mapping[str, object], context: ViewContext, depth: int) -> Iterator[Hanging]:
    width = max([len(_name(name)) for name, value in record.items() if not _has_parts(value)], default=0)
    indent = "  " * depth
    for name, value in record.items():
        if not _has_parts(value):
            yield Hanging(Text(f"{indent}{_name(name):<{width}}  ", "bold"), _text(name, value, context))
        elif depth >= _DEEPEST and isinstance(value, Sized):
            yield Hanging(Text(f"{indent}{_name(name)}  ", "bold"), Text(counted(len(value), "entry", "entries")))
        else:
            yield Hanging(Text(f"{indent}{_name(name)}", "bold"), Text())
            yield from _parts(value, context, depth + 1)


def _parts(value: object, context: ViewContext, depth: int) -> Iterator[Hanging]:
    if isinstance(value, Mapping):
        yield from _lines(value, context, depth)
    elif isinstance(value, Sequence):
        dash = Text(f"{'  ' * depth}- ")
        for part in value:
            if not _has_parts(part):
                yield Hanging(dash, _text("", part, context))
            elif depth >= _DEEPEST:
                yield Hanging(dash, Text(counted(len(part), "entry", "entries")))
            else:
                yield Hanging(dash, Text())
                yield from _parts(part, context, depth + 1)


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
    return Text(plain(str(value)))
