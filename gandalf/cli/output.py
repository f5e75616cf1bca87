"""How values are shown: one line for a message, tables for lists, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

_COLOURS = {"SUCCESS": "green", "FAILURE": "red", "TAKEN": "cyan", "PROGRESS": "cyan"}


def compact(value: object) -> str:
    """`value` as JSON in one line; "" for None."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def at(milliseconds: int | None) -> str:
    """A time since the epoch in RFC 3339, UTC; "" for None."""
    if milliseconds is None:
        return ""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a peer may claim any 64 bits
        return str(milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def word(text: str) -> str:
    """The name of an event, in its colour and padded."""
    return click.style(f"{text:<8}", fg=_COLOURS.get(text, "yellow"), bold=True)


def printable(text: str) -> str:
    """`text` without what could control a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; its columns are as wide as the terminal allows, and as needed where there is none."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headings, box=SIMPLE, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    console = Console()
    if console.is_terminal:
        console.print(drawn)
        return
    drawn.box = None
    console = Console(width=10_000)
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
