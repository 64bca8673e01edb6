"""What `spinfer-bench-hf` found, as Markdown. The JSON is described in docs/runtimes.md."""

from __future__ import annotations

import statistics
from typing import Any

Json = dict[str, Any]


def markdown(report: Json) -> str:
    """Tables of all models, with what a reader needs to believe them."""
    lines = ["# spinfer-bench-hf", "", *_head(report), ""]
    for model in report["models"]:
        lines += [f"## {model['name']}", "", *_decode(model), ""]
        if model["prefill"]:
            lines += [*_prefill(model), ""]
        if model["loading"] is not None:
            lines += [*_loading(model["loading"]), ""]
        lines += [*_memory(model), "", *_parts(model), ""]
        if model["crossover"]:
            lines += [*_crossover(model), ""]
    return "\n".join(lines).rstrip() + "\n"


def _head(report: Json) -> list[str]:
    gpu, versions, settings = report["gpu"], report["versions"], report["settings"]
    facts = [f"{gpu['name']}, driver {gpu['driver']}, {gpu['powerLimitW']} W"]
    facts += [f"{name} {version}" for name, version in versions.items()]
    bandwidth = report["readBandwidth"]
    how = "captured as CUDA graphs" if report["captured"] else "called from Python"
    return [
        f"`{report['command']}`, {report['created']}.",
        ", ".join(facts) + ".",
        "",
        f"Cache of {settings['cache']} tokens, {settings['prompt']} of them a prompt; "
        f"{settings['rounds']} rounds of {settings['tokens']} steps a side, in turns; both sides "
        f"{how}, {settings['glue']} glue; the sparse side with launch overlap. "
        f"Reading memory reached {bandwidth['gbPerSecond']:.0f} GB/s ({bandwidth['by']}).",
    ]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    divider = ["---"] + ["---:"] * (len(heads) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (heads, divider, *rows)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _decode(model: Json) -> list[str]:
    rows = []
    for row in model["decode"]:
        dense, sparse = row["dense"], row["sparse"]
        rows.append(
            [
                row["engine"],
                _percent(row["sparsity"]),
                str(row["batch"]),
                *(f"{side['tokensPerSecond']:.1f} ± {_spread(side)}" for side in (dense, sparse)),
                f"**{row['speedup']:.2f}**",
                *(_percent(side["linears"]["ofReadBandwidth"]) for side in (dense, sparse)),
                *(f"{side['peakBytes'] / 1e9:.2f}" for side in (dense, sparse)),
                *(_joules(side["joulesPerToken"]) for side in (dense, sparse)),
            ]
        )
    heads = ["engine", "zeros", "batch", "dense tokens/s", "sparse tokens/s", "ratio"]
    heads += ["dense linears of bandwidth", "sparse", "dense peak GB", "sparse"]
    heads += ["dense J/token", "sparse"]
    lines = _table(heads, rows)
    quality = model["perplexity"]
    if quality is not None:
        lines += [
            "",
            f"Perplexity {quality['sparse']['value']:.3f} packed, "
            f"{quality['dense']['value']:.3f} dense, over {quality['sparse']['tokens']} tokens "
            f"in windows of {quality['sparse']['window']}.",
        ]
    return lines


def _spread(side: Json) -> str:
    step = side["stepMs"]
    return f"{side['tokensPerSecond'] * step['deviation'] / step['median']:.1f}"


def _joules(joules: float | None) -> str:
    return "–" if joules is None else f"{joules:.3f}"


def _prefill(model: Json) -> list[str]:
    rows = [
        [
            row["engine"],
            _percent(row["sparsity"]),
            str(row["tokens"]),
            f"{row['dense']['ms']['median']:.1f}",
            f"{row['sparse']['ms']['median']:.1f}",
            f"{row['speedup']:.2f}",
            f"{row['sparse']['beyondWeightsBytes'] / 1e9:.2f}",
        ]
        for row in model["prefill"]
    ]
    heads = ["prefill", "zeros", "tokens", "dense ms", "sparse ms", "ratio"]
    return _table([*heads, "sparse GB beside weights"], rows)


def _loading(loading: Json) -> list[str]:
    rows = []
    for name in ("warm", "cold"):
        if loading[name] is None:
            continue
        taken = {side: loading[name][side]["seconds"] for side in ("dense", "sparse")}
        medians = {side: statistics.median(seconds) for side, seconds in taken.items()}
        rows.append(
            [
                name,
                *(f"{medians[side]:.3f} ± {_deviation(taken[side]):.3f}" for side in taken),
                f"**{medians['dense'] / medians['sparse']:.2f}**",
                *(f"{loading['fileBytes'][side] / 1e9:.3f}" for side in taken),
                *(_gigabytes(loading[name][side]["storageBytes"]) for side in taken),
            ]
        )
    heads = [f"loading to {loading['device']}, page cache", "dense s", "sparse s", "ratio"]
    heads += ["dense files GB", "sparse", "dense from storage GB", "sparse"]
    lines = _table(heads, rows)
    if loading["noColdBecause"]:
        lines += ["", f"Not measured cold: {loading['noColdBecause']}."]
    if loading["layers"] is not None:
        lines += ["", f"Of the model, {loading['layers']} layers and all that is no layer."]
    return lines


def _deviation(samples: list[float]) -> float:
    return statistics.stdev(samples) if len(samples) > 1 else 0.0


def _gigabytes(counts: list[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return f"{statistics.median(known) / 1e9:.3f}" if known else "–"


def _memory(model: Json) -> list[str]:
    rows = [
        [
            row["engine"],
            _percent(row["sparsity"]),
            f"{row['denseBytes'] / 1e9:.3f}",
            f"{row['sparseBytes'] / 1e9:.3f}",
            f"{row['ratio']:.3f}",
            f"{row['otherBytes'] / 1e9:.3f}",
        ]
        for row in model["memory"]
    ]
    heads = ["linear layers", "zeros", "dense GB", "packed GB", "ratio", "everything else GB"]
    return _table(heads, rows)


def _parts(model: Json) -> list[str]:
    """Where a step's time goes: a line for each side of each row."""
    lines: list[str] = []
    for engine in dict.fromkeys(row["engine"] for row in model["decode"]):
        chosen = [row for row in model["decode"] if row["engine"] == engine]
        names = list(chosen[0]["dense"]["partsMs"])
        rows = []
        for row in chosen:
            for side in ("dense", "sparse"):
                parts = row[side]["partsMs"]
                title = f"{side}, {_percent(row['sparsity'])}, batch {row['batch']}"
                total = f"{row[side]['stepMs']['median']:.3f}"
                rows.append([title, total, *(f"{parts[name]:.3f}" for name in names)])
        lines += ["", *_table([f"ms of a step, {engine}", "whole", *names], rows)]
    return lines[1:]


def _crossover(model: Json) -> list[str]:
    rows = [
        [
            f"{row['kind']} {row['rows']} × {row['cols']}",
            str(row["tokens"]),
            *(f"{row[name]:.3f}" for name in ("denseMs", "directMs", "decodedMs")),
        ]
        for row in model["crossover"]
    ]
    return _table(["all layers", "tokens", "dense ms", "direct ms", "decoded first ms"], rows)
