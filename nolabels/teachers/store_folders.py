"""Where the answer store lies: a folder of a disk, or an address that fsspec knows."""

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from nolabels.core.stage import UserError, say

AT_A_TIME = 64  # parts that are read from an address at once


def place(folder):
    """The store's place: runtime.store, an address, or a folder, which starts at the project's root.

    DVC runs an experiment of a queue in a temporary copy of the project and says in $DVC_ROOT where the
    project is, so that all experiments know what any of them has asked.
    """
    return folder if "://" in str(folder) else Path(os.environ.get("DVC_ROOT", ""), folder)


def open_folder(root, name=""):
    """A folder of the store to read from and write to. Raises UserError where it cannot be reached."""
    return RemoteFolder(root, name) if "://" in str(root) else LocalFolder(Path(root, name))


class LocalFolder:
    """Files of one folder of a disk."""

    def __init__(self, path):
        self.path = path

    def __str__(self):
        return str(self.path)

    def names(self):
        """Of the files, and of the folders with a / behind, in order."""
        if not self.path.exists():
            return []
        return sorted(f"{item.name}/" if item.is_dir() else item.name for item in self.path.iterdir())

    def read(self, names):
        """Yields (name, content) of some of the files."""
        for name in names:
            yield name, (self.path / name).read_bytes()

    def write(self, name, content):
        """Whole or not at all, and waits until the disk has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f".{name}.{os.getpid()}"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / name)

    def remove(self, name):
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self):
        """Holds the folder's lock: of two runs that need the same answers, one asks, one waits."""
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

    def __init__(self, root, name):
        from fsspec.core import url_to_fs

        self.address, self.made = f"{root.rstrip('/')}/{name}".rstrip("/"), False
        with self.one_line():
            self.files, self.path = url_to_fs(self.address)

    def __str__(self):
        return self.address

    @contextmanager
    def one_line(self):
        try:
            yield
        except Exception as error:  # each service has errors of its own, without a common ancestor
            found = f"{type(error).__name__}: {error}"
            raise UserError(f"runtime.store: {self.address} must be reachable, found {found}") from error

    def names(self):
        with self.one_line():
            try:
                found = self.files.ls(self.path, detail=True, refresh=True)  # others write there too
            except FileNotFoundError:  # where there are no folders, one without files is not there
                return []
        return sorted(
            item["name"].rstrip("/").rpartition("/")[2] + ("/" if item["type"] == "directory" else "")
            for item in found
            if item["name"].rstrip("/") != self.path.rstrip("/")
        )

    def read(self, names):
        for start in range(0, len(names), AT_A_TIME):
            paths = {f"{self.path}/{name}": name for name in names[start : start + AT_A_TIME]}
            with self.one_line():
                contents = self.files.cat(list(paths))
            for path, content in contents.items():
                yield paths[path], content

    def write(self, name, content):
        with self.one_line():
            if not self.made:
                with suppress(FileExistsError):
                    self.files.mkdir(self.path, create_parents=False)  # a bucket is not made by mistake
                self.made = True
            self.files.pipe_file(f"{self.path}/{name}", content)

    def remove(self, name):
        with self.one_line():
            self.files.rm_file(f"{self.path}/{name}")

    @contextmanager
    def locked(self):
        yield
