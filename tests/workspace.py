"""A copy of the project with tiny models from a local package index, and DVC run in it for real."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from tests import tiny

ROOT = Path(__file__).parent.parent


def make_index(folder):
    """Wheels of a data set, a causal teacher and two bases; returns the assets of `fetch`."""
    reviews = tiny.sentences(900)
    # the same texts for people, other ones for a program
    reviews += [(rating, f"  {text.upper().replace(' ', '   ')} ") for rating, text in reviews[:60]]
    rows = "".join(f"{number}\t{rating}\t{text}\r\n" for number, (rating, text) in enumerate(reviews, 1))
    models = folder / "models"
    contents = {
        "tiny_texts": {"tiny_texts/reviews.tsv": rows.encode()},
        "tiny_teacher": tree(tiny.causal_model(models / "teacher"), "tiny_teacher/model"),
        "tiny_base": tree(tiny.base_model(models / "base"), "tiny_base/model"),
        "tiny_base_two": tree(tiny.base_model(models / "base_two", seed=1), "tiny_base_two/model"),
    }
    found = {"links": folder / "links"}
    for name, files in contents.items():
        _, sha256 = tiny.wheel(folder / "links", name, "1.0", files)
        found[name] = {
            "package": f"{name}==1.0",
            "form": "wheel",
            "sha256": sha256,
            "path": "tiny_texts/reviews.tsv" if name == "tiny_texts" else f"{name}/model",
            "files": {},
        }
    return found


def tree(folder, prefix):
    return {f"{prefix}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


@dataclass(frozen=True)
class Workspace:
    """A project folder and how DVC is run in it."""

    root: Path
    links: Path

    @classmethod
    def make(cls, root, index, whole=False, **sizes):
        """The project's files as Git sees them, small sizes, tiny assets, one commit.

        whole: all teachers that are shipped, and not one alone; sizes: keys of `sample`.
        """
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file() and name not in (
                "dvc.lock",
                "metrics/dev.json",
                "metrics/test.json",
                "metrics/speed.json",
            ):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        found = cls(root, index["links"])
        sizes = {"pool": 280, "valid": 20, "test": 60, "dev": 20, "clusters": 0} | sizes
        sizes = {"zones": {"test": 0.15, "dev": 0.15, "pool": 0.7}} | sizes
        with found.params() as params:
            if not whole:
                tiny.one_teacher(params)
            params["fetch"]["dataset"] = index["tiny_texts"]
            for name in params["fetch"]["models"]:
                params["fetch"]["models"][name] = index["tiny_teacher" if name == "teacher" else "tiny_base"]
            params["sample"].update(sizes)
            params["train"]["epochs"] = 1
        found.git("init", "-q")
        (root / "presets/shipped").write_text(found.git("hash-object", "params.yaml"))
        found.git("add", "-A")
        found.git("commit", "-qm", "The project")
        return found

    def copy(self, root):
        shutil.copytree(self.root, root, symlinks=True)
        return Workspace(root, self.links)

    def clone(self, root):
        """What a colleague has: the Git repository and nothing else."""
        subprocess.run(["git", "clone", "-q", self.root, root], check=True)
        return Workspace(root, self.links)

    def environment(self, online=True):
        own = self.root.parent / f"{self.root.name}-dvc"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "PIP_", "COV_"))
        }
        return kept | {
            "DVC_GLOBAL_CONFIG_DIR": str(own / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(own / "system"),
            "DVC_SITE_CACHE_DIR": str(own / "site"),
            "DVC_NO_ANALYTICS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.links) if online else str(own),
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def git(self, *words):
        return subprocess.run(
            ["git", *words], cwd=self.root, env=self.environment(), check=True, capture_output=True, text=True
        ).stdout

    def run(self, command, online=True, more=None):
        """Any command in the project's folder; more: further environment variables."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(online) | (more or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def dvc(self, *words, online=True, fails=False, more=None):
        """Runs DVC; returns everything it printed."""
        result = self.run([sys.executable, "-m", "dvc", *words], online, more)
        assert (result.returncode != 0) == fails, result.stdout[-4000:]
        return result.stdout

    def start(self, *words, more=None):
        """DVC in the background, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", *words],
            cwd=self.root,
            env=self.environment() | (more or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def repro(self, *words, online=True):
        """The stages that a `dvc repro` ran, in order."""
        return stages_of(self.dvc("repro", *words, online=online))

    def params(self, path="params.yaml"):
        return edited(self.root / path)

    def whole_lock(self):
        """What dvc.lock says of each stage."""
        return YAML(typ="safe").load(self.read("dvc.lock"))["stages"]

    def lock(self):
        """The same without the page: it shows timings, which differ from run to run."""
        return {name: stage for name, stage in self.whole_lock().items() if name != "report"}

    def make_place(self, name):
        """The folder in models/own that a model under a new name needs."""
        (self.root / "models/own" / name).mkdir()
        (self.root / "models/own" / name / "README.md").touch()

    def forget(self, stage):
        """As if the stage had never been finished: DVC can neither skip nor restore it."""
        with self.params("dvc.lock") as lock:
            del lock["stages"][stage]
        shutil.rmtree(self.root / ".dvc/cache/runs")

    def append(self, path, text):
        with (self.root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def read(self, path):
        return (self.root / path).read_bytes()


def stages_of(printed):
    return re.findall(r"^Running stage '([^']+)'", printed, flags=re.M)


class edited:
    """Context manager: a YAML file to change in place, comments kept."""

    def __init__(self, path):
        self.path, self.yaml = path, YAML()

    def __enter__(self):
        self.data = self.yaml.load(self.path.read_text(encoding="utf-8"))
        return self.data

    def __exit__(self, kind, error, trace):
        if kind is None:
            with self.path.open("w", encoding="utf-8") as file:
                self.yaml.dump(self.data, file)
