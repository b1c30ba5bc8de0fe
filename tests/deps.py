"""Which modules of the project a stage depends on: those that it imports, less those that decide no result.

usage: python -m tests.deps     writes them into dvc.yaml, below the data of each stage
"""

import ast
import re
from pathlib import Path

import yaml

PIPELINE = Path("dvc.yaml")
MARK = "# code: written by python -m tests.deps"
# a stage that runs the script of another one
SCRIPTS = {"fetch_dataset": "fetch"}
# Modules that decide no result, and why: another message in one reruns nothing.
LEFT_OUT = {
    "nolabels/core/params": "let a value pass or refuse it; DVC tracks the values",
    "nolabels/core/stage.py": "arguments, errors and the end of a process",
    "nolabels/core/memory.py": "what a process keeps of the memory that it freed",
    "nolabels/core/speed.py": "timings, which are outs of no stage",
    "nolabels/data/hub": "files come with the sums of their commit, which are checked",
    "nolabels/data/packages.py": "files are checked by the sha256 in params.yaml",
}


def is_left_out(path):
    """Whether a module decides no result: it is named in LEFT_OUT, or holds a package's docstring alone."""
    return path.name == "__init__.py" or bool({p.as_posix() for p in (path, *path.parents)} & set(LEFT_OUT))


def module_file(name):
    """The file of a project module, or None where the name is no module of the project."""
    path = Path(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.exists()), None)


def imports(file):
    """Project files that a file imports, anywhere in it, with the packages around them."""
    files = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            parts = module.split(".")
            if parts[0] in ("nolabels", "stages"):
                names = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
                files |= {path for path in map(module_file, names) if path}
    return files


def modules_of(script):
    """Paths of the modules that decide what a stage writes: its script, and what that imports, and so on."""
    reached, waiting = set(), [Path("stages", f"{script}.py")]
    while waiting:
        current = waiting.pop()
        if current not in reached and not is_left_out(current):
            reached.add(current)
            waiting += imports(current)
    return sorted(path.as_posix() for path in reached)


def written(text):
    """The text of dvc.yaml with the modules of each stage behind the data that it reads."""
    lines, stage, indent, inside = [], None, None, False
    for line in text.splitlines():
        if re.fullmatch(r"  [a-z_]+:", line):
            stage = line.strip(" :")
        if re.fullmatch(r" +deps:", line):
            indent, inside = line.index("deps") + 2, True
        elif inside and not line.startswith(" " * indent):
            script = SCRIPTS.get(stage, stage)
            lines += [" " * indent + MARK, *(f"{' ' * indent}- {path}" for path in modules_of(script))]
            inside = False
        if inside and (line.endswith(".py") or line.strip() == MARK):
            continue
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PIPELINE.write_text(written(PIPELINE.read_text(encoding="utf-8")), encoding="utf-8")
    yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))
