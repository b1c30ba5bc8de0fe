"""The answer store: what a teacher has answered, kept outside DVC's outs and never asked twice.

DVC deletes a stage's outs before it runs, so answers that cost hours cannot live there. The store
is a folder per asker (everything that decides an answer but the question: teacher, precision, cut),
of parts that are written whole or not at all. A part is named by the checksum of its bytes, so one
that a disk has damaged is noticed, thrown away and asked again.
"""

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nolabels.stage import say


def place(folder):
    """The store's folder: runtime.store, which where it is relative starts at the project's root.

    DVC runs an experiment of a queue in a temporary copy of the project and says in $DVC_ROOT where the
    project is, so that all experiments know what any of them has asked.
    """
    return Path(os.environ.get("DVC_ROOT", ""), folder)


class AnswerStore:
    """Answers of one asker under `root`.

    asker: JSON-able facts that decide an answer (kind, teacher sha256, precision, max_tokens).
    An answer belongs to the exact text, the template and the words of the class, each by value: a
    class may be renamed, moved or added, and only new words are asked.
    """

    def __init__(self, root, asker):
        name = hashlib.sha256(canonical(asker).encode()).hexdigest()[:32]
        self.folder = Path(root, name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asker = asker

    @contextmanager
    def locked(self):
        """Holds the asker's lock: of two runs that need the same answers, one asks, one waits."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(
                    f"score: another run is asking this teacher; waiting for its answers ({self.folder.name[:8]})"
                )
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def facts(self):
        """What `remember` kept about the asker; {} where nothing is known yet."""
        path = self.folder / "about.json"
        return json.loads(path.read_text(encoding="utf-8"))["facts"] if path.exists() else {}

    def remember(self, **facts):
        """Keeps facts that only a loaded teacher knows, such as its number of parameters."""
        content = {"asker": self.asker, "facts": self.facts() | facts}
        self.put("about.json", json.dumps(content, indent=2, sort_keys=True).encode())

    def read(self, keys, templates, words):
        """What is known of N texts, T templates and K class words -> Known.

        keys: N answer keys (16 bytes each, distinct); templates: T canonical strings.
        """
        known = Known.empty(len(keys), len(templates), len(words))
        if not len(keys):
            return known
        order = np.argsort(keys)
        ordered = keys[order]
        template_index = {template: number for number, template in enumerate(templates)}
        word_index = {word: number for number, word in enumerate(words)}
        for path in sorted(self.folder.glob("*.parquet")):
            part = self.load(path)
            if part is None:
                continue
            about = json.loads(part.schema.metadata[b"about"])
            shared_t = [
                (template_index[t], i) for i, t in enumerate(about["templates"]) if t in template_index
            ]
            shared_k = [(word_index[w], i) for i, w in enumerate(about["words"]) if w in word_index]
            if not shared_t or not shared_k:
                continue
            part_keys = np.array(part["key"].to_pylist(), "S16")
            place = np.searchsorted(ordered, part_keys).clip(max=len(ordered) - 1)
            hits = ordered[place] == part_keys
            known.fill(order[place[hits]], hits, part, shared_t, shared_k)
        return known

    def load(self, path):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:32] != path.stem:
            say(f"score: {path} is damaged; its answers are asked again")
            path.unlink()
            return None
        # in this thread alone: one of pyarrow's own that still holds Python's bytes while the process
        # ends aborts it (apache/arrow issue 34314)
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        return file.read(use_threads=False)

    def write(self, keys, templates, words, answers):
        """One part: answers (teachers.Answers) of some texts to some templates and class words."""
        count = len(keys)
        columns = {
            "key": pa.array([key.ljust(16, b"\0") for key in keys.tolist()], pa.binary(16)),
            "score": rows_of(answers.scores),
            "tokens": rows_of(answers.tokens),
            "cut": rows_of(answers.cut),
        }
        if answers.against is not None:
            columns["against"] = rows_of(answers.against)
        about = canonical({"templates": templates, "words": words})
        table = pa.table(columns).replace_schema_metadata({"about": about})
        assert table.num_rows == count
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        self.put(f"{hashlib.sha256(content).hexdigest()[:32]}.parquet", content)

    def put(self, name, content):
        """Writes a file whole or not at all, and waits until the disk has it."""
        partial = self.folder / f".{name}.{os.getpid()}"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / name)


class Known:
    """Answers read from the store: arrays over N texts, T templates, K classes.

    scores, against: N x T x K float32 (against: NaN where a teacher has none); tokens, cut: N x T;
    there: N x T x K bool, which answers are known.
    """

    def __init__(self, scores, against, tokens, cut, there):
        self.scores, self.against, self.tokens, self.cut, self.there = scores, against, tokens, cut, there

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
        count = len(json.loads(part.schema.metadata[b"about"])["words"])
        for name, array in (("score", self.scores), ("against", self.against)):
            if name not in part.column_names:
                continue
            values = columns_of(part[name], len(hits))[hits]
            for target, source in templates:
                for class_target, class_source in words:
                    array[rows, target, class_target] = values[:, source * count + class_source]
                    self.there[rows, target, class_target] = True

    def missing(self):
        """What to ask: a list of (texts, templates, classes), index arrays; texts in their order.

        Texts that miss the same things come together, so the list has one entry but where the
        templates or classes have changed between runs.
        """
        patterns = np.packbits(~self.there.reshape(len(self.there), -1), axis=1)
        found = []
        if not len(patterns):
            return found
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


def rows_of(array):
    """N x ... numbers -> a fixed-size list column of N rows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), array[0].size)


def columns_of(column, count):
    """A fixed-size list column -> count x width numbers."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(count, -1)
