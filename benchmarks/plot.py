"""Plots of what was measured: bars with their spread, and curves."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import US, Report, Row


def plot(report: Report, workload: str, directory: Path) -> list[Path]:
    """Write PNG files for one workload; none when Matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    cases = [(case, rows) for _, case, rows in report.cases(workload)]
    curves = [row for _, rows in cases for row in rows if row.at is not None]
    path = directory / f"{workload}.png"
    if curves:
        _curves(curves, workload, path)
    else:
        _bars(cases, workload, path)
    return [path]


def _bars(cases: list[tuple[str, list[Row]]], workload: str, path: Path) -> None:
    from matplotlib import pyplot

    columns = min(len(cases), 3)
    lines = -(-len(cases) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(6 * columns, 3.2 * lines), squeeze=False)
    for axis in axes.flat[len(cases) :]:
        axis.remove()
    for axis, (case, rows) in zip(axes.flat, cases, strict=False):
        names = [row.subject for row in rows][::-1]
        medians = [row.median for row in rows][::-1]
        below = [row.median - min(row.values) for row in rows][::-1]
        above = [max(row.values) - row.median for row in rows][::-1]
        colours = ["#c2410c" if name == US else "#64748b" for name in names]
        axis.barh(names, medians, xerr=(below, above), color=colours, ecolor="#0f172a", capsize=2)
        axis.set_title(case, fontsize=10)
        axis.set_xlabel(rows[0].unit)
        axis.ticklabel_format(axis="x", style="plain")
        axis.tick_params(labelsize=8)
    figure.suptitle(f"{workload}: medians of {len(cases[0][1][0].values)} rounds, least and greatest value")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _curves(rows: list[Row], workload: str, path: Path) -> None:
    from matplotlib import pyplot

    families = list(dict.fromkeys(row.case.rsplit(" ", 1)[0] for row in rows))
    figure, axes = pyplot.subplots(1, len(families), figsize=(5 * len(families), 4), squeeze=False)
    for axis, family in zip(axes.flat, families, strict=True):
        mine = [row for row in rows if row.case.rsplit(" ", 1)[0] == family]
        for subject in dict.fromkeys(row.subject for row in mine):
            points = sorted((row for row in mine if row.subject == subject), key=lambda row: row.at or 0)
            x = [row.at or 0 for row in points]
            axis.plot(x, [row.median for row in points], marker="o", label=subject)
            axis.fill_between(x, [min(row.values) for row in points], [max(row.values) for row in points], alpha=0.2)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(family)
        axis.set_ylabel(mine[0].unit)
        axis.legend()
    figure.suptitle(workload)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
