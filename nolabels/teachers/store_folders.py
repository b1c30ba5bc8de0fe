"""Where the answer store lies: a folder of a disk, or an address that fsspec knows (s3://…)."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nolabels.core.stage import UserError, say

AT_A_TIME = 64  # files that are read from an address at once


def store_root(folder: str) -> str | Path:
    """The root of the store: runtime.store, an address, or a folder, which starts at the project's root.

    DVC runs an experiment of a queue in a temporary copy of the project and says in $DVC_ROOT where the
    project is, so that all experiments know what any of them has asked.
    """
    return folder if "://" in str(folder) else Path(os.environ.get("DVC_ROOT", ""), folder)


class LocalFolder:
    """Files of one folder of a disk."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self):
        return str(self.path)

    def names(self) -> list[str]:
        """Names of the files, and of the folders with a / behind, in order."""
        if not self.path.exists():
            return []
        return sorted(f"{item.name}/" if item.is_dir() else item.name for item in self.path.iterdir())

    def read(self, names: list[str]) -> Iterator[tuple[str, bytes]]:
        """Yields (name, content) of some of the files."""
        for name in names:
            yield name, (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all, and waits until the disk has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f".{name}.{os.getpid()}"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / name)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder's lock. Two runs may need the same answers: then one asks, and one waits."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(
                    f"score: another run is asking this teacher; waiting for its answers ({self.path.name[:8]})"
                )
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class RemoteFolder:
    """The same at an address that fsspec knows. Keys come from the environment, as each service has it.

    Nothing can be locked there: two runs at once may ask the same, and both answers are kept.
    """

    def __init__(self, root: str, name: str):
        from fsspec.core import url_to_fs

        self.address, self._created = f"{root.rstrip('/')}/{name}".rstrip("/"), False
        with self._errors_in_one_line():
            self.files, self.path = url_to_fs(self.address)

    def __str__(self):
        return self.address

    @contextmanager
    def _errors_in_one_line(self):
        try:
            yield
        except Exception as error:  # each service has errors of its own, without a common ancestor
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"runtime.store: {self.address} must be reachable, found {reason}") from error

    def names(self) -> list[str]:
        """Names of the files, and of the folders with a / behind, in order."""
        with self._errors_in_one_line():
            try:
                items = self.files.ls(self.path, detail=True, refresh=True)  # others write there too
            except FileNotFoundError:  # where there are no folders, one without files is not there
                return []
        return sorted(
            item["name"].rstrip("/").rpartition("/")[2] + ("/" if item["type"] == "directory" else "")
            for item in items
            if item["name"].rstrip("/") != self.path.rstrip("/")
        )

    def read(self, names: list[str]) -> Iterator[tuple[str, bytes]]:
        """Yields (name, content) of some of the files."""
        for start in range(0, len(names), AT_A_TIME):
            paths = {f"{self.path}/{name}": name for name in names[start : start + AT_A_TIME]}
            with self._errors_in_one_line():
                contents = self.files.cat(list(paths))
            for path, content in contents.items():
                yield paths[path], content

    def write(self, name: str, content: bytes) -> None:
        """Writes a file."""
        with self._errors_in_one_line():
            if not self._created:
                with suppress(FileExistsError):
                    self.files.mkdir(self.path, create_parents=False)  # a bucket is not made by mistake
                self._created = True
            self.files.pipe_file(f"{self.path}/{name}", content)

    def remove(self, name: str) -> None:
        """Removes a file."""
        with self._errors_in_one_line():
            self.files.rm_file(f"{self.path}/{name}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds nothing."""
        yield


def open_folder(root: str | Path, name: str = "") -> LocalFolder | RemoteFolder:
    """A folder of the store, to read from and to write to.

    Parameters
    ----------
    root : str or pathlib.Path
        As `store_root` gives it.
    name : str
        Of the folder below the root; "" for the root itself.

    Returns
    -------
    LocalFolder or RemoteFolder
        Both have names, read, write, remove and locked.

    Raises
    ------
    UserError
        Where an address cannot be reached.
    """
    return RemoteFolder(str(root), name) if "://" in str(root) else LocalFolder(Path(root, name))
