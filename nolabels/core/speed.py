"""How long the costly stages took: `metrics/speed.json`, one entry a stage.

It is no out of any stage: timings differ between two runs of the same thing, and outs must not.
DVC reads it as a metric all the same (`metrics:` in dvc.yaml). A stage that is restored from the cache leaves the
figures of an older run, so each says when it was measured, and on what.
"""

import json
import platform
from datetime import date
from pathlib import Path

from nolabels.core.tables import write_json

PATH = Path("metrics/speed.json")


def processor():
    """The name of this machine's processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def machine(device):
    """What did the work. device: a torch device name, or "served" for a model elsewhere."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return processor() if device == "cpu" else device


def record(name, texts, seconds, device, **more):
    """Keeps what a stage took; texts: how many it went through in `seconds`; device: see `machine`; more: counts."""
    known = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    known[name] = {
        "seconds": round(seconds, 1),
        "texts_per_second": round(texts / seconds, 1) if seconds else 0.0,
        "measured": date.today().isoformat(),
        "on": machine(device),
        **more,
    }
    write_json(PATH, dict(sorted(known.items())))


def measured(name):
    """What `record` kept of a stage, or None; also None where it does not say when that was."""
    known = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    return known[name] if "measured" in known.get(name, {}) else None
