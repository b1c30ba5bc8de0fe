"""What a container of a student is built from: a folder that needs nothing of the project."""

import platform
import shutil
import zipapp
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.students.server import command

NEEDED = (
    "fastapi",
    "httptools",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "tokenizers",
    "uvicorn",
    "uvloop",
)
PORT = 8000
PYTHON = ".".join(platform.python_version_tuple()[:2])  # for which the versions were chosen
DOCKERFILE = f"""FROM python:{PYTHON}-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY serve.pyz .
COPY model model
USER 65534:65534
ENV PYTHONUNBUFFERED=1
EXPOSE {PORT}
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/health')"]
CMD ["python", "serve.pyz", "model", "--host", "0.0.0.0", "--port", "{PORT}"]
"""


def pinned(names: tuple[str, ...]) -> list[str]:
    """Lines NAME==VERSION of packages and of all that they need on Linux, as they are installed here, sorted.

    Raises UserError where one of `names` is not installed.
    """
    from packaging.requirements import Requirement

    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    waiting, lines = [Requirement(name) for name in names], {}
    while waiting:
        asked = waiting.pop()
        try:
            known = distribution(asked.name)
        except PackageNotFoundError:
            if asked.name in names:
                raise UserError(f"environment: must have {asked.name}, found none") from None
            continue  # needed on another system than this one
        name = known.metadata["Name"].lower().replace("_", "-")
        if name not in lines:
            lines[name] = f"{name}=={known.version.partition('+')[0]}"
            for text in known.requires or []:
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate(linux):
                    waiting.append(wanted)
    return sorted(lines.values())


def write(model: Path, folder: Path) -> None:
    """Writes the folder that `docker build` takes, whole or not at all.

    Parameters
    ----------
    model : Path
        The folder that `export` wrote.
    folder : Path
        A new folder.

    Raises
    ------
    UserError
        The folder is there already. SystemExit with one line where the model cannot be served.
    """
    if folder.exists():
        raise UserError(f"{folder}: must be a new folder, found one that is there")
    command.open_model(model)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "model").mkdir(parents=True)
        for path in model.iterdir():
            if path.name in (*command.FILES, "README.md"):
                shutil.copyfile(path, partial / "model" / path.name)
        package = Path(command.__file__).parent
        shutil.copytree(
            package, partial / "code" / package.name, ignore=shutil.ignore_patterns("__pycache__")
        )
        zipapp.create_archive(partial / "code", partial / "serve.pyz", main=f"{package.name}.command:main")
        shutil.rmtree(partial / "code")
        (partial / "requirements.txt").write_text("\n".join(pinned(NEEDED)) + "\n", encoding="utf-8")
        (partial / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
