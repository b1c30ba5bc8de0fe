"""How fast the pipeline is beside what people would use instead; both sides in one run, in turn.

usage: python -m benchmarks.speed [--only PART ...] [--repeats 5]

Needs a finished `dvc repro` in this folder. Writes benchmarks/speed.json, a row for each measurement,
and benchmarks/speed.md, the same for people. A run of some parts replaces their rows alone. A peer runs
as its documentation says, in float32, with the batch of 8, 32 or 64 that is fastest for it. Figures
are medians; `ratio` is how many times faster ours is, unless the unit says otherwise. A row that misses what was asked is
marked as short.
"""

import json
from importlib.metadata import version
from pathlib import Path

from benchmarks import speed_entailment, speed_students, speed_teachers
from benchmarks.measuring import (
    is_short,
    table,
)
from nolabels.core import models, params
from nolabels.core.speed import processor
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import write_json

JSON, PAGE = Path("benchmarks/speed.json"), Path("benchmarks/speed.md")


PARTS = {
    part.__name__: part
    for part in (
        speed_teachers.likelihood,
        speed_entailment.entailment,
        speed_teachers.similarity,
        speed_teachers.linear,
        speed_students.training,
        speed_students.student,
        speed_students.small,
        speed_students.classify,
        speed_teachers.workers,
        speed_students.reruns,
    )
}


def by_processor(rows):
    """{processor: its rows}."""
    return {on: [one for one in rows if one["on"] == on] for on in dict.fromkeys(one["on"] for one in rows)}


def page(rows):
    """What benchmarks/speed.md holds."""
    names = ("torch", "transformers", "onnxruntime")
    lines = [
        "# Speed",
        "",
        "`python -m benchmarks.speed`, two threads; "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + ".",
        "Each side runs in turn; figures are medians. A row is of the processor that it was last measured on.",
    ]
    for on, some in by_processor(rows).items():
        lines += ["", f"## {on}", "", table(some)]
    return "\n".join(lines) + "\n"


NEEDS = {
    "likelihood": ["models/teacher", "data/test.parquet"],
    "entailment": ["data/pool.parquet", "data/test.parquet"],
    "similarity": ["models/base", "data/test.parquet"],
    "linear": [],
    "training": ["models/base", "data/teacher_train.parquet"],
    "student": ["models/student", "models/student-onnx", "data/test.parquet"],
    "small": ["data/test.parquet", "models/teacher"],
    "classify": ["models/student-onnx", "data/pool.parquet", "data/test.parquet"],
    "workers": ["models/teacher", "data/pool.parquet", "data/test.parquet"],
    "reruns": ["models/student-onnx"],
}


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--repeats", type=int, default=5, help="how often each side is run")
    args = parser.parse_args(argv)
    for path in (path for name in args.only for path in NEEDS[name]):
        if not Path(path).exists():
            raise UserError(f"{path}: must be there, found nothing; run dvc repro first")
    models.use_threads(params.load().runtime.threads)
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    for name in args.only:
        fresh = [{"part": name, **one, "on": processor()} for one in PARTS[name](args.repeats)]
        known = [one for one in known if one["part"] != name] + fresh
        known.sort(key=lambda one: list(PARTS).index(one["part"]))
        write_json(JSON, known)
        PAGE.write_text(page(known), encoding="utf-8")
        for one in fresh:
            say(
                f"{one['name']}: {one['ratio']:.2f} (asked {one['asked']}{', short' if is_short(one) else ''})"
            )


if __name__ == "__main__":
    run(main)
