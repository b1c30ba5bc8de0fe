"""The answer store: what a teacher has answered, kept outside DVC's outs and never asked twice.

DVC deletes a stage's outs before it runs, so answers that cost hours cannot live there. The store
is a folder per asker (everything that decides an answer but the question: teacher, precision, cut),
of parts that are written whole or not at all. A part is named by the checksum of its bytes, so one
that a disk has damaged is noticed, thrown away and asked again, and two that write to one store never
write to one file. It lies on a disk, or at any address that fsspec knows (s3://…), for a team.
"""

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nolabels.core.stage import UserError, say

ABOUT = "about.json"
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


class AnswerStore:
    """Answers of one asker under `root`, a path or an address.

    asker: JSON-able facts that decide an answer (kind, teacher sha256, precision, max_tokens).
    An answer belongs to the exact text, the template and the words of the class, each by value: a
    class may be renamed, moved or added, and only new words are asked.
    """

    def __init__(self, root, asker):
        name = hashlib.sha256(canonical(asker).encode()).hexdigest()[:32]
        self.folder = open_folder(root, name)
        self.asker = asker

    def locked(self):
        """Context manager: as long as it holds, no other run asks this teacher (on a disk)."""
        return self.folder.locked()

    def facts(self):
        """What `remember` kept about the asker; {} where nothing is known yet."""
        return facts_of(self.folder).get("facts", {})

    def remember(self, **facts):
        """Keeps facts that only a loaded teacher knows, such as its number of parameters."""
        content = {"asker": self.asker, "facts": self.facts() | facts}
        self.folder.write(ABOUT, json.dumps(content, indent=2, sort_keys=True).encode())

    def read(self, keys, templates, words, embedded=False):
        """What is known of N texts, T templates and K class words -> Known.

        keys: N answer keys (16 bytes each, distinct); templates: T canonical strings; embedded: whether an answer
        counts only with the embedding of its text.
        """
        known = Known.empty(len(keys), len(templates), len(words))
        if not len(keys):
            return known
        order = np.argsort(keys)
        ordered = keys[order]
        template_index = {template: number for number, template in enumerate(templates)}
        word_index = {word: number for number, word in enumerate(words)}
        for part in self.parts():
            about = json.loads(part.schema.metadata[b"about"])
            shared_t = [
                (template_index[t], i) for i, t in enumerate(about["templates"]) if t in template_index
            ]
            shared_k = [(word_index[w], i) for i, w in enumerate(about["words"]) if w in word_index]
            if not shared_t or not shared_k or (embedded and "embedding" not in part.column_names):
                continue
            part_keys = np.array(part["key"].to_pylist(), "S16")
            place = np.searchsorted(ordered, part_keys).clip(max=len(ordered) - 1)
            hits = ordered[place] == part_keys
            known.fill(order[place[hits]], hits, part, shared_t, shared_k)
        return known

    def parts(self):
        """Yields the parts, tables as `write` made them; one that is damaged is thrown away."""
        names = [name for name in self.folder.names() if is_part(name)]
        for name, content in self.folder.read(names):
            if hashlib.sha256(content).hexdigest()[:32] != Path(name).stem:
                say(f"score: {self.folder}/{name} is damaged; its answers are asked again")
                self.folder.remove(name)
                continue
            # in this thread alone: one of pyarrow's own that still holds Python's bytes while the process
            # ends aborts it (apache/arrow issue 34314)
            file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
            yield file.read(use_threads=False)

    def write(self, keys, templates, words, answers):
        """One part: answers (kinds.Answers) of some texts to some templates and class words."""
        count = len(keys)
        columns = {
            "key": pa.array([key.ljust(16, b"\0") for key in keys.tolist()], pa.binary(16)),
            "score": rows_of(answers.scores),
            "tokens": rows_of(answers.tokens),
            "cut": rows_of(answers.cut),
        }
        if answers.against is not None:
            columns["against"] = rows_of(answers.against)
        if answers.embeddings is not None:
            columns["embedding"] = rows_of(answers.embeddings)
        about = canonical({"templates": templates, "words": words})
        table = pa.table(columns).replace_schema_metadata({"about": about})
        assert table.num_rows == count
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        self.folder.write(f"{hashlib.sha256(content).hexdigest()[:32]}.parquet", content)


def distinct(keys):
    """Where each of N keys stands first, and which of those each is: M indices in order, N numbers below M."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def is_part(name):
    return name.endswith(".parquet") and not name.startswith(".")


def facts_of(folder):
    """What stands in a folder about its asker: {asker, facts}, or {} where nothing is known yet."""
    if ABOUT not in folder.names():
        return {}
    ((_, content),) = folder.read([ABOUT])
    return json.loads(content)


class Known:
    """Answers read from the store: arrays over N texts, T templates, K classes.

    scores, against: N x T x K float32 (against: NaN where a teacher has none); tokens, cut: N x T;
    there: N x T x K bool, which answers are known; embeddings: N x D float16, or None where no answer has any.
    """

    def __init__(self, scores, against, tokens, cut, there, embeddings=None):
        self.scores, self.against, self.tokens, self.cut, self.there = scores, against, tokens, cut, there
        self.embeddings = embeddings

    @classmethod
    def empty(cls, texts, templates, classes):
        shape = (texts, templates, classes)
        return cls(
            np.zeros(shape, np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape[:2], np.int32),
            np.zeros(shape[:2], bool),
            np.zeros(shape, bool),
        )

    def fill(self, rows, hits, part, templates, words):
        for target, source in templates:
            for name, array in (("tokens", self.tokens), ("cut", self.cut)):
                array[rows, target] = columns_of(part[name], len(hits))[hits, source]
        if "embedding" in part.column_names:
            made = columns_of(part["embedding"], len(hits))[hits]
            if self.embeddings is None:
                self.embeddings = np.zeros((len(self.there), made.shape[1]), np.float16)
            self.embeddings[rows] = made
        count = len(json.loads(part.schema.metadata[b"about"])["words"])
        for name, array in (("score", self.scores), ("against", self.against)):
            if name not in part.column_names:
                continue
            values = columns_of(part[name], len(hits))[hits]
            for target, source in templates:
                for class_target, class_source in words:
                    array[rows, target, class_target] = values[:, source * count + class_source]
                    self.there[rows, target, class_target] = True

    def take(self, rows):
        """The answers of some texts, which may stand several times. rows: M indices."""
        made = (self.scores, self.against, self.tokens, self.cut, self.there, self.embeddings)
        return Known(*(None if array is None else array[rows] for array in made))

    def missing(self):
        """What to ask: a list of (texts, templates, classes), index arrays; texts in their order.

        Texts that miss the same things come together, so the list has one entry but where the
        templates or classes have changed between runs.
        """
        found = []
        if not len(self.there):
            return found
        patterns = np.packbits(~self.there.reshape(len(self.there), -1), axis=1)
        for pattern in np.unique(patterns, axis=0):
            if pattern.any():
                texts = np.flatnonzero((patterns == pattern).all(1))
                gaps = ~self.there[texts[0]]
                found.append((texts, np.flatnonzero(gaps.any(1)), np.flatnonzero(gaps.any(0))))
        return found


def parts(texts, lengths, size):
    """Cuts texts (indices) into parts of `size` texts of about one length, longest first.

    The cut depends on nothing but which texts are asked, so a run that was killed goes on with the
    same parts, and ends in the same bytes.
    """
    order = texts[np.lexsort((texts, -lengths[texts]))]
    return [order[start : start + size] for start in range(0, len(order), size)]


def canonical(value):
    """JSON with one spelling: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def way_of(score):
    """How a teacher is asked, in the words that the store has always used for it.

    score: mapping with the keys of a teacher in params.yaml, in this or an earlier spelling (parts and overlap for
    chunk and stride): answers that were given before the keys were renamed are still known.
    """
    long_text = score.get("long_text")
    return {
        "kind": score.get("kind"),
        "max_tokens": score.get("max_tokens"),
        "long_text": {"truncate": "cut", "chunk": "parts"}.get(long_text, long_text),
        "overlap": score["stride"] if "stride" in score else score.get("overlap"),
    }


def spelled(template):
    """A params.Template as the store knows it: what is asked, whatever its place in the list."""
    return canonical(template.model_dump(exclude_none=True))


def rows_of(array):
    """N x ... numbers -> a fixed-size list column of N rows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), array[0].size)


def columns_of(column, count):
    """A fixed-size list column -> count x width numbers."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(count, -1)
