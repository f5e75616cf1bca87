"""What a run has shown: a table for people, and the same as JSON."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.faults.history import ACKED, History
from tests.faults.injection import Done
from tests.faults.invariants import KINDS, Findings
from tests.faults.process import Process
from tests.faults.records import CODES
from tests.faults.recovery import Recovery, percentile

FIRST_MINUTE: Final = 60.0

STARTING: Final = 10.0
"""Seconds that a program may take until it handles SIGTERM, on a machine that has much to do."""

_ALARM: Final = re.compile(r"Traceback \(most recent call last\)|[Uu]nhandled [Ee]rror|\bCRITICAL\b|#critical")
MEBIBYTE: Final = 1024 * 1024


def memory(processes: Iterable[Process]) -> list[dict[str, Any]]:
    """Of each life that lasted for two minutes: after its first minute, and at its end."""
    rows = []
    for process in processes:
        for life in process.lives:
            later = [(time, size) for time, size in life.rss if time - life.began >= FIRST_MINUTE]
            if not later or life.rss[-1][0] - life.began < 2 * FIRST_MINUTE:
                continue
            rows.append(
                {
                    "process": process.name,
                    "life": life.number,
                    "seconds": round(life.rss[-1][0] - life.began),
                    "first minute MiB": round(later[0][1] / MEBIBYTE, 1),
                    "end MiB": round(later[-1][1] / MEBIBYTE, 1),
                    "growth": round(later[-1][1] / later[0][1] - 1, 3),
                }
            )
    return rows


def alarms(logs: Iterable[Path]) -> list[str]:
    """Lines of logs that tell of a fault of the programs, with what follows them."""
    found = []
    for path in logs:
        lines = path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if _ALARM.search(line):
                found.append(f"{path.name}:{number + 1}: " + " | ".join(lines[number : number + 25])[:2000])
    return found


def unasked(processes: Iterable[Process]) -> list[str]:
    """Processes that ended by themselves, or not with status 0 when they were told to end."""
    found = []
    for process in processes:
        for life in process.lives:
            if life.status is None or life.asked == "SIGKILL":
                continue
            if life.status == -signal.SIGTERM and life.asked and life.ended - life.began < STARTING:
                # It had not come to handling signals yet.
                continue
            if not life.asked or life.status:
                found.append(
                    f"{process.name} life {life.number} ended with status {life.status} ({life.asked or '-'})"
                )
    return found


def summary(
    history: History,
    findings: Findings,
    done: Sequence[Done],
    recovered: Sequence[Recovery],
    processes: Sequence[Process],
    more: dict[str, Any],
) -> dict[str, Any]:
    """All that a run has shown, for JSON."""
    acked = sum(stream.state.count(ACKED) for stream in history.streams.values())
    ends = Counter(
        CODES[sent.code] if sent.ends else "none"
        for commands in history.commands.values()
        for sent in commands.values()
    )
    first, every = [one.first for one in recovered], [one.every for one in recovered]
    return {
        **more,
        "messages": history.frames,
        "faults": len(done),
        "faults by kind": dict(sorted(Counter(one.fault.kind for one in done).items())),
        "events sent": sum(len(stream.times) for stream in history.streams.values()),
        "events acknowledged": acked,
        "events refused": dict(history.refusals),
        "events delivered": findings.delivered,
        "owed %": round(100 * findings.owed / max(findings.due, 1), 1),
        "not owed": findings.not_owed,
        "frames that came twice": findings.arrived_twice,
        "commands sent": sum(map(len, history.commands.values())),
        "commands by end": dict(ends.most_common()),
        "commands carried out": sum(acts.total() for acts in history.acts.values()),
        "violations": {kind: findings.violations[kind] for kind in KINDS},
        "told": findings.told,
        "recovery": {
            "losses": len(recovered),
            "first p50 ms": round(percentile(first, 50) * 1000),
            "first p99 ms": round(percentile(first, 99) * 1000),
            "first worst ms": round(max(first, default=0) * 1000),
            "every p50 ms": round(percentile(every, 50) * 1000),
            "every p99 ms": round(percentile(every, 99) * 1000),
        },
        "processes started": sum(len(process.lives) for process in processes),
        "ended unasked": unasked(processes),
        "memory": memory(processes),
        "lives": [
            [process.name, life.number, life.asked, round(life.began, 3), round(min(life.ended, 1e9), 3)]
            for process in processes
            for life in process.lives
        ],
        "schedule": [
            [round(one.began, 3), round(one.until, 3), one.fault.kind, one.fault.subject, one.fault.value]
            for one in done
        ],
    }


def failures(shown: dict[str, Any]) -> list[str]:
    """Why a run is no success; empty: it is one."""
    found = [f"{count} {kind}" for kind, count in shown["violations"].items() if count]
    found += shown["ended unasked"] + shown["troubles"] + shown["alarms"]
    if shown["not healed"]:
        found.append(f"not healed: {shown['not healed']}")
    return found


def table(shown: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"seed {shown['seed']}, {shown['seconds']:.0f} s of faults"]

    def row(name: str, value: object) -> None:
        lines.append(f"  {name:<28} {value}")

    row("messages", f"{shown['messages']:,} ({shown['messages'] / max(shown['load seconds'], 1):,.0f}/s)")
    row("faults", f"{shown['faults']} of {len(shown['faults by kind'])} kinds")
    for kind, count in shown["faults by kind"].items():
        row(f"  {kind}", count)
    row("faults that met nothing", shown["faults that met nothing"])
    for name in ("events sent", "events acknowledged", "events refused", "events delivered", "owed %", "not owed"):
        row(name, shown[name])
    for name in ("frames that came twice", "commands sent", "commands by end", "commands carried out"):
        row(name, shown[name])
    for kind, count in shown["violations"].items():
        row(kind, count)
    for name, value in shown["recovery"].items():
        row(f"recovery, {name}", value)
    row("healed within s", shown["healed s"])
    row("processes started", shown["processes started"])
    row("ended unasked", len(shown["ended unasked"]))
    row("alarms in logs", len(shown["alarms"]))
    for memory_row in shown["memory"]:
        row(f"memory {memory_row['process']} life {memory_row['life']}", _memory(memory_row))
    for kind in KINDS:
        lines += [f"! {kind}: {text}" for text in shown["told"].get(kind, ())]
    lines += [f"! {text}" for text in shown["ended unasked"] + shown["troubles"] + shown["alarms"]]
    if shown["not healed"]:
        lines.append(f"! not healed: {shown['not healed']}")
    return "\n".join(lines)


def _memory(row: dict[str, Any]) -> str:
    return f"{row['first minute MiB']} -> {row['end MiB']} MiB in {row['seconds']} s ({row['growth']:+.1%})"
