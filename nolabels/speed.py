"""How long the costly stages took: `metrics/speed.json`, one entry a stage.

It is no out of any stage: timings differ between two runs of the same thing, and outs must not.
DVC reads it as a metric all the same (`metrics:` in dvc.yaml).
"""

import json
from pathlib import Path

from nolabels.tables import write_json

PATH = Path("metrics/speed.json")


def record(name, texts, seconds, **more):
    """Keeps what a stage took; texts: how many it went through in `seconds`; more: other counts."""
    known = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    known[name] = {
        "seconds": round(seconds, 1),
        "texts_per_second": round(texts / seconds, 1) if seconds else 0.0,
        **more,
    }
    write_json(PATH, dict(sorted(known.items())))
