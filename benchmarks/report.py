"""What was measured: values of several rounds, their medians and spread, and ratios between those compared."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

US = "gandalf"


@attrs.define
class Row:
    """One thing measured in one case of a workload: a value for each round.

    :param case: such as "100 B".
    :param key: of what is compared within the case when it is more than one thing, such as "p99".
    """

    workload: str
    case: str
    subject: str
    unit: str
    note: str = ""
    higher_is_better: bool = True
    values: list[float] = attrs.Factory(list)
    cpu_us: list[float] = attrs.Factory(list)
    at: float | None = None
    """Where on the x axis of a curve, if it is one."""

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.values)

    @property
    def cpu(self) -> float | None:
        """Median of the processor time of the programs under test, microseconds a message."""
        return statistics.median(self.cpu_us) if self.cpu_us else None

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            **attrs.asdict(self),
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "cpu_us_median": self.cpu,
        }


class Report:
    """All rows, in the order they were begun."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.left_out: dict[str, str] = {}
        self.remarks: dict[str, list[str]] = defaultdict(list)
        """Of a workload: what one must know to read its figures."""
        self.began = time.time()

    def add(
        self,
        workload: str,
        case: str,
        subject: str,
        value: float,
        *,
        unit: str,
        note: str = "",
        cpu_us: float | None = None,
        higher_is_better: bool = True,
        at: float | None = None,
    ) -> None:
        """One round's value."""
        row = self.rows.get((workload, case, subject))
        if row is None:
            row = Row(workload, case, subject, unit, note, higher_is_better, at=at)
            self.rows[workload, case, subject] = row
        row.values.append(value)
        if cpu_us is not None:
            row.cpu_us.append(cpu_us)

    def remark(self, workload: str, text: str) -> None:
        """Say something about a workload, once."""
        if text not in self.remarks[workload]:
            self.remarks[workload].append(text)

    def cases(self, workload: str | None = None) -> Iterator[tuple[str, str, list[Row]]]:
        """Workload, case and rows."""
        grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows.values():
            if workload in (None, row.workload):
                grouped[row.workload, row.case].append(row)
        for (name, case), rows in grouped.items():
            yield name, case, rows

    @property
    def workloads(self) -> list[str]:
        """Of which there are rows."""
        return list(dict.fromkeys(row.workload for row in self.rows.values()))

    def table(self, workload: str) -> str:
        """As Markdown."""
        lines = ["", f"## {workload}", ""]
        lines += [f"- {text}" for text in self.remarks[workload]]
        if self.remarks[workload]:
            lines.append("")
        lines.append("| case | who | median | min | max | unit | gandalf / it | CPU µs each | what it does |")
        lines.append("|---|---|---:|---:|---:|---|---:|---:|---|")
        for _, case, rows in self.cases(workload):
            ours = next((row for row in rows if row.subject == US), None)
            for row in rows:
                lines.append("| " + " | ".join(_cells(case, row, ours)) + " |")
        return "\n".join(lines)

    def save(self, directory: Path) -> Path:
        """Write `results.json`, which holds every value."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "results.json"
        told = {
            "machine": machine(),
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.began)),
            "took_s": round(time.time() - self.began, 1),
            "rounds": self.rounds,
            "left_out": self.left_out,
            "remarks": dict(self.remarks),
            "rows": [row.as_json() for row in self.rows.values()],
        }
        path.write_text(json.dumps(told, indent=1))
        return path


def _cells(case: str, row: Row, ours: Row | None) -> Sequence[str]:
    ratio = f"{ours.median / row.median:.2f}" if ours is not None and ours is not row and row.median else ""
    cpu = "" if row.cpu is None else figure(row.cpu)
    spread = (figure(row.median), figure(min(row.values)), figure(max(row.values)))
    return (case, row.subject, *spread, row.unit, ratio, cpu, row.note)


def figure(value: float) -> str:
    """Three digits, or whole numbers."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine())
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
