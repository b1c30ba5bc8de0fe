"""A clone of the project in which a benchmark runs the pipeline itself, as people do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from nolabels.core.stage import UserError


class Clone:
    """The last commit of the project, in a folder of its own.

    It shares the project's cache of DVC, so no model is downloaded again and nothing runs twice, and its answer store.

    Parameters
    ----------
    folder : Path
        Where to put it; what is there is deleted.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", ".", folder], check=True)
        self.run("dvc", "cache", "dir", "--local", Path(".dvc/cache").resolve())
        self.run("dvc", "config", "--local", "cache.type", "reflink,hardlink,copy")
        self.store = Path(".work/answers").resolve()

    def run(self, module: str, *words: Any) -> str:
        """What a Python module prints. Raises UserError where it fails."""
        result = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            **{"cwd": self.folder, "capture_output": True, "encoding": "utf-8"},
        )
        if result.returncode:
            message = (result.stderr or result.stdout)[-600:]
            raise UserError(f"{module}: must work in {self.folder}, found {message}")
        return result.stdout

    def set_params(self, preset: dict) -> None:
        """Lays a preset over the shipped params.yaml."""
        # through JSON, so that what stands twice is written twice: presets have no anchors
        preset = json.loads(json.dumps(preset | {"runtime": {"store": str(self.store)}}))
        path = self.folder / "presets/benchmark.yaml"
        path.write_text(yaml.safe_dump(preset, sort_keys=False), encoding="utf-8")
        self.run("nolabels.preset", path.stem, "--force")

    def repro(self, *targets: str) -> str:
        """What `dvc repro` prints."""
        return self.run("dvc", "repro", *targets)

    def read_json(self, path: str) -> dict:
        """A metrics file."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))
