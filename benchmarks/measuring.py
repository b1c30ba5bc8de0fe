"""How the benchmarks measure: calls in turn, medians, rows that are short of what was asked."""

import operator
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from nolabels.core import models, params
from nolabels.core.stage import UserError
from nolabels.core.tables import read_table
from nolabels.teachers import kinds

BATCHES = (8, 32, 64)
FLAT = "<= 1.1"  # what memory that does not grow comes to


def clock(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_turn(repeats, *calls):
    """Median seconds of each call, all called in turn, after one call of each that does not count."""
    for call in calls:
        call()
    seconds = [[clock(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def fastest_batch(call):
    """The batch size, of BATCHES, with which call(batch) is fastest."""
    call(BATCHES[0])
    return min(BATCHES, key=lambda batch: clock(lambda: call(batch)))


def row(name, ours, peer, unit, asked, ratio=None):
    return {
        "name": name,
        "ours": round(ours, 4),
        "peer": None if peer is None else round(peer, 4),
        "unit": unit,
        "ratio": round(ours / peer if ratio is None else ratio, 3),
        "asked": asked,
    }


def is_short(one):
    """Whether a row misses what was asked: a bound of its ratio, such as ">= 5", or the exact number; flat: FLAT."""
    sign, bound = re.fullmatch(
        r"([<>]=?)? ?([\d.]+)", FLAT if one["asked"] == "flat" else one["asked"]
    ).groups()
    holds = {">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt, None: operator.eq}
    return not holds[sign](one["ratio"], float(bound))


def table(rows):
    """The rows as Markdown, and how many of them are short of what was asked."""
    short = sum(map(is_short, rows))
    lines = [
        f"{short} of {len(rows)} rows are short of what was asked of the ratio (flat: {FLAT}).",
        "",
        "| | ours | peer | unit | ratio | asked | |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        peer = "" if one["peer"] is None else f"{one['peer']:.4g}"
        lines.append(
            f"| {one['name']} | {one['ours']:.4g} | {peer} | {one['unit']} | {one['ratio']:.2f} | {one['asked']} | "
            f"{'**short**' if is_short(one) else ''} |"
        )
    return "\n".join(lines)


def texts_of(table, count):
    """The first texts of a table, which are a random draw."""
    return read_table(f"data/{table}.parquet", ["text"])["text"].to_pylist()[:count]


def sorted_texts(texts):
    return sorted(texts, key=len)


def teacher(kind, folder, precision, **changes):
    values = params.load()
    score = values.score["teacher"].model_copy(update={"kind": kind, **changes})
    given = {"name": "teacher", "device": "cpu", "precision": precision}
    return kinds.load_teacher(score, Path(folder), served=None, descriptions={}, **given)


def precisions():
    """float32, and bfloat16 where the processor multiplies it natively."""
    return sorted({"float32", models.pick_precision("auto", "cpu")})


def peak(precision):
    """Floating-point operations a second of a large matrix product, the best of several."""
    import torch

    size = 2048
    left, right = (torch.randn(size, size, dtype=getattr(torch, precision)) for _ in range(2))
    return 2 * size**3 / min(clock(lambda: left @ right) for _ in range(8))


def largest(root, module, *words):
    """Runs a module in a folder; returns the largest resident set of its process in MiB.

    Read from /proc: what `getrusage` tells of a child counts the pages of the process it came from.
    """
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "status = open('/proc/self/status').read()\n"
        "print('largest', status.split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, module, *map(str, words)],
        cwd=root,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        raise UserError(f"{module}: must end well, found {result.stderr.strip()[-500:]}")
    return int(result.stderr.rpartition("largest ")[2]) // 1024
