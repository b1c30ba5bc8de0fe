"""How much the server of a student carries, beside predict.py on the same cores; both sides in one run, in turn.

usage: python -m benchmarks.serving [MODEL ...] [--texts data/test.parquet] [--cores 1] [--repeats 3] [--soak 30]

MODEL: folders that `export` wrote (models/student-onnx). Server and predict.py run on the first `--cores` processors.
Measured are texts a second, and texts a second of processor time, which other programs disturb less, for 64 clients that
send one text at a time and for 4 that send 64; how long one text takes while texts arrive at random at half the rate of
the former; and memory over `--soak` minutes of both kinds of requests and of bad ones. Writes benchmarks/serving.json and
serving.md; what is known of other models stays, and so do times (`--repeats 0`) or memory (`--soak 0`) that are not measured.
"""

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.measuring import FLAT, row, table
from benchmarks.serving_clients import Client, carried, endless, figure, latencies
from nolabels.core.speed import processor
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import read_table, write_json

JSON, PAGE = Path("benchmarks/serving.json"), Path("benchmarks/serving.md")
ALONE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from predict import Model
model, texts = Model(sys.argv[1], int(sys.argv[2])), json.load(sys.stdin)
model.predict_proba(texts[:64])
started, used = time.perf_counter(), time.process_time()
model.predict_proba(texts)
print(len(texts) / (time.perf_counter() - started), len(texts) / (time.process_time() - used))
"""
ONE, MANY = (64, 1), (4, 64)  # clients, and texts in a request of theirs
SECONDS = 60  # of texts that arrive at random


def on_cores(cores):
    """What a process of its own begins with: it keeps to the first processors, of those that this one may use."""
    able = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (lambda: os.sched_setaffinity(0, able[:cores])) if able else None


def alone(model, texts, cores):
    """Texts a second of predict.py, and texts a second of the processor's time."""
    command = [sys.executable, "-c", ALONE, str(model), str(cores)]
    options = {"stdout": subprocess.PIPE, "text": True, "check": True, "preexec_fn": on_cores(cores)}
    ended = subprocess.run(command, input=json.dumps(texts), **options)
    return [float(word) for word in ended.stdout.split()]


@contextmanager
def served(model, cores):
    """The port of a server."""
    command = [sys.executable, "-m", "nolabels.serve", str(model), "--port", "0", "--threads", str(cores)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=on_cores(cores))
    try:
        line = process.stdout.readline()
        if not line:
            raise UserError(f"{model}: must be a model that can be served, found none")
        yield int(re.search(r":(\d+) ", line)[1])
    finally:
        process.terminate()
        process.wait()


def soak(port, texts, minutes):
    """Memory in MiB after the first tenth of the time and its largest later on; asked without a pause."""
    stop, following = threading.Event(), endless(texts)

    def client(size):
        mine = Client(port)
        while not stop.is_set():
            mine.ask([following() for _ in range(size)])
            mine.send("POST", "/predict", json.dumps({"texts": [None]}))

    threads = [threading.Thread(target=client, args=(size,), daemon=True) for size in (1, 1, 1, 1, 16, 64)]
    for thread in threads:
        thread.start()
    sizes = []
    for _ in range(20):
        time.sleep(minutes * 60 / 20)
        sizes.append(figure(port, "process_resident_memory_bytes") / 2**20)
    stop.set()
    for thread in threads:
        thread.join()
    return sizes[1], max(sizes[2:])


def measure(model, texts, args):
    """The rows of one model."""
    cores = f"{args.cores} core{'s' if args.cores > 1 else ''}"
    name = f"{(model / 'model.onnx').stat().st_size / 1e6:.0f} MB on {cores}"
    with served(model, args.cores) as port:
        if args.repeats:
            yield from times(name, port, model, texts, args)
        if args.soak:
            first, largest = soak(port, texts, args.soak)
            yield row(f"{name}: memory over {args.soak:g} minutes", largest, first, "MiB", FLAT)


def times(name, port, model, texts, args):
    """The rows of a served model's throughput and latency."""
    carried(port, texts[:64], *ONE)
    rounds = [
        (alone(model, texts, args.cores), carried(port, texts, *ONE), carried(port, texts, *MANY))
        for _ in range(args.repeats)
    ]
    for side, (clients, size) in ((1, ONE), (2, MANY)):
        for kind, more in ((0, ""), (1, ", by the processor's time")):
            ours, peer = (statistics.median(turn[which][kind] for turn in rounds) for which in (side, 0))
            ratio = statistics.median(turn[side][kind] / turn[0][kind] for turn in rounds)
            sort = f"{clients} clients, {size} {'text' if size == 1 else 'texts'} at a time"
            yield row(f"{name}: {sort}{more}", ours, peer, "texts/s", ">= 0.8", ratio)
    one = statistics.median(turn[1][0] for turn in rounds)
    taken = latencies(port, texts, one / 2, SECONDS) * 1000
    for share in (50, 99):
        value = float(np.percentile(taken, share))
        title = f"{name}: percentile {share} of one text at {one / 2:.0f} texts/s"
        yield row(title, value, None, "ms", "< 100", value)


def model_of(one):
    """Of a row: the model's MB, and the cores."""
    return one["name"].partition(":")[0]


def what_of(one):
    """Of a row: the model, and whether it is of memory."""
    return model_of(one), " memory over " in one["name"]


def page(rows):
    """What benchmarks/serving.md holds; rows: those of an earlier run name another processor."""
    earlier = dict.fromkeys(
        f"{model_of(one)}, {'memory' if what_of(one)[1] else 'times'}: measured on {one['on']}."
        for one in rows
        if one["on"] != processor()
    )
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "onnxruntime"))
    load = max((one["load"] for one in rows if not what_of(one)[1]), default=0)
    return (
        f"# Serving\n\n`python -m benchmarks.serving`: the server on {processor()}; {versions}. Peer is predict.py on the same "
        f"texts and cores, without a server; for memory, that after a tenth of the time. The MB are those of the model. "
        f"The clients run on the same machine, of {os.cpu_count()} processors. Its load was up to {load:.1f} in the five "
        f"minutes before a row of time: above one for each processor, other programs had a part in these times.\n\n"
        f"{table(rows)}\n" + "".join(f"\n{line}\n" for line in earlier)
    )


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument(
        "models", type=Path, nargs="*", default=[Path("models/student-onnx")], metavar="MODEL"
    )
    parser.add_argument(
        "--texts", type=Path, default=Path("data/test.parquet"), help="table with a text column"
    )
    parser.add_argument("--cores", type=int, default=1, help="processors for server and predict.py (1)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each side is run (3); 0: no times")
    parser.add_argument(
        "--soak", type=float, default=30, help="minutes in which memory is watched (30); 0: none"
    )
    args = parser.parse_args(argv)
    for path in (args.texts, *(model / "model.onnx" for model in args.models)):
        if not path.exists():
            raise UserError(f"{path}: must be there, found nothing; run dvc repro first")
    texts = read_table(args.texts, ["text"])["text"].to_pylist()
    rows = []
    for one in itertools.chain.from_iterable(measure(model, texts, args) for model in args.models):
        say(f"{one['name']}: {one['ours']:.4g} {one['unit']} ({one['ratio']:.2f}, asked {one['asked']})")
        rows.append(one | {"on": processor(), "load": round(os.getloadavg()[1], 1)})
    measured = set(map(what_of, rows))
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    rows += [one for one in known if what_of(one) not in measured]
    rows.sort(key=lambda one: (float(model_of(one).split()[0]), *what_of(one)))
    write_json(JSON, rows)
    PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    run(main)
