"""How long the costly stages took: `metrics/speed.json`, one entry a stage.

The file is the out of no stage: timings differ between two runs of the same thing, and outs must not.
DVC reads it as a metric (`metrics:` in dvc.yaml). A stage that is restored from the cache leaves the
figures of an older run, so each entry says when it was measured, and on what.
"""

import json
import platform
from datetime import date
from pathlib import Path

from nolabels.core.tables import write_json

PATH = Path("metrics/speed.json")
# what decides how fast a processor multiplies, by its flag in /proc/cpuinfo, the fastest first
PRODUCTS = {"amx_tile": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}


def processor() -> str:
    """The name of this machine's processor and, of x86, its products: virtual machines give one name to several kinds."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = known.get("model name") or platform.processor() or platform.machine()
    flags = known.get("flags", "").split()
    return ", ".join([name, *[title for flag, title in PRODUCTS.items() if flag in flags][:1]])


def machine(device: str) -> str:
    """What did the work. device: a torch device name, or "served" for a model elsewhere."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return processor() if device == "cpu" else device


def record(name: str, texts: int, seconds: float, device: str, **more: float) -> None:
    """Writes what a stage took into PATH; the entries of other stages stay.

    Parameters
    ----------
    name : str
        The stage.
    texts : int
        How many texts it went through.
    seconds : float
        How long that took.
    device : str
        A torch device name, or "served" for a model elsewhere.
    **more
        Further counts to keep.
    """
    entries = _entries()
    entries[name] = {
        "seconds": round(seconds, 1),
        "texts_per_second": round(texts / seconds, 1) if seconds else 0.0,
        "measured": date.today().isoformat(),
        "on": machine(device),
        **more,
    }
    write_json(PATH, dict(sorted(entries.items())))


def measured(name: str) -> dict | None:
    """What `record` kept of a stage, or None; also None where it does not say when that was."""
    entry = _entries().get(name, {})
    return entry if "measured" in entry else None


def _entries() -> dict:
    """The file's entries, {stage: figures}."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
