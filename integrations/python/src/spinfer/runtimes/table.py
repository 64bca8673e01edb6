"""The report as a Markdown table, with what was measured and where below it."""

from __future__ import annotations

from typing import Any

from .rows import SIDES

Json = dict[str, Any]


def markdown(report: Json) -> str:
    heads = ["runtime", "loads, s", "equal to dense", "tokens/s", "memory, MB"]
    lines = [_line(heads), _line(["---", "---:", "---", "---:", "---:"])]
    notes = []
    for row in report["rows"]:
        lines.append(_line([row["runtime"], *_cells(row)]))
        if not (row["notRun"] or row["failed"]):
            notes += [_note(row)]
    title = f"Of `{report['packed']}`, packed / dense of the same weights:"
    return "\n".join([title, "", *lines, "", *notes]) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Json) -> list[str]:
    for kind, words in (("notRun", "not run"), ("failed", "failed")):
        if row[kind]:
            return [f"{words}: {row[kind]}".replace("|", "\\|"), "", "", ""]
    equal = row["equal"]
    return [
        _pair(row["loadSeconds"], lambda seconds: f"{seconds:.2f}"),
        f"{'yes' if equal['is'] else '**no**'}: {equal['how']}",
        _pair(row["tokensPerSecond"], lambda rate: f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"),
        _pair(row["memoryBytes"], lambda count: f"{count / 1e6:.0f}"),
    ]


def _pair(values: Json, shown: Any) -> str:
    return " / ".join("–" if values[side] is None else shown(values[side]) for side in SIDES)


def _note(row: Json) -> str:
    where = row["where"]
    machine = where["processor"] if where["gpu"] is None else where["gpu"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"- {row['runtime']}: tokens/s of {row['measured']}; memory: {row['remembered']}. "
        f"`{row['command']}`, {where['created'][:10]}, {machine}, {versions}."
    )
