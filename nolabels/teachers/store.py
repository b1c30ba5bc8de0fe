"""The answer store: what a teacher has answered, kept outside DVC's outs and never asked twice.

DVC deletes a stage's outs before it runs, so answers that cost hours cannot live there. The store
is a folder per asker (everything that decides an answer but the question: teacher, precision, cut),
of parts that are written whole or not at all. A part is named by the checksum of its bytes, so one
that a disk has damaged is noticed, thrown away and asked again, and two that write to one store never
write to one file. It lies on a disk, or at any address that fsspec knows (s3://…), for a team.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nolabels.core.params import Template
from nolabels.core.stage import say
from nolabels.teachers.known_answers import KnownAnswers, list_column
from nolabels.teachers.store_folders import LocalFolder, RemoteFolder, open_folder
from nolabels.teachers.teacher import Answers

ABOUT = "about.json"


class AnswerStore:
    """Answers of one asker.

    An answer belongs to the exact text, the template and the words of the class, each by value: a
    class may be renamed, moved or added, and only new words are asked.

    Parameters
    ----------
    root : str or pathlib.Path
        An address or a folder, see store_folders.store_root.
    asker : dict
        JSON-able facts that decide an answer: kind, sha256 of the teacher, precision, max_tokens.
    """

    def __init__(self, root: str | Path, asker: dict[str, Any]):
        name = hashlib.sha256(canonical_json(asker).encode()).hexdigest()[:32]
        self.folder = open_folder(root, name)
        self.asker = asker

    def locked(self) -> AbstractContextManager:
        """A context manager. While it holds, no other run asks this teacher (on a disk)."""
        return self.folder.locked()

    def facts(self) -> dict[str, Any]:
        """What `remember` kept about the asker; {} where nothing is known yet."""
        return read_about(self.folder).get("facts", {})

    def remember(self, **facts: Any) -> None:
        """Keeps facts that only a loaded teacher knows, such as its number of parameters."""
        content = {"asker": self.asker, "facts": self.facts() | facts}
        self.folder.write(ABOUT, json.dumps(content, indent=2, sort_keys=True).encode())

    def read(
        self, keys: np.ndarray, templates: list[str], words: list[str], embedded: bool = False
    ) -> KnownAnswers:
        """What the store knows.

        Parameters
        ----------
        keys : numpy.ndarray, N answer keys of 16 bytes, distinct
            The texts, see texts.answer_key.
        templates : list of str
            T templates, see template_json.
        words : list of str
            The words of K classes.
        embedded : bool
            Whether an answer counts only with the embedding of its text.

        Returns
        -------
        KnownAnswers
            N x T x K.
        """
        known = KnownAnswers.empty(len(keys), len(templates), len(words))
        if not len(keys):
            return known
        order = np.argsort(keys)
        ordered = keys[order]
        template_index = {template: number for number, template in enumerate(templates)}
        word_index = {word: number for number, word in enumerate(words)}
        for part in self._parts():
            about = json.loads(part.schema.metadata[b"about"])
            shared_templates = [
                (template_index[t], i) for i, t in enumerate(about["templates"]) if t in template_index
            ]
            shared_words = [(word_index[w], i) for i, w in enumerate(about["words"]) if w in word_index]
            if not shared_templates or not shared_words:
                continue
            if embedded and "embedding" not in part.column_names:
                continue
            part_keys = np.array(part["key"].to_pylist(), "S16")
            nearest = np.searchsorted(ordered, part_keys).clip(max=len(ordered) - 1)
            hits = ordered[nearest] == part_keys
            known.fill(order[nearest[hits]], hits, part, shared_templates, shared_words)
        return known

    def _parts(self) -> Iterator[pa.Table]:
        """The parts, tables as `write` makes them; one that is damaged is thrown away."""
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

    def write(self, keys: np.ndarray, templates: list[str], words: list[str], answers: Answers) -> None:
        """Writes one part.

        Parameters
        ----------
        keys, templates, words
            As for `read`.
        answers : Answers
            To these texts, templates and class words.
        """
        columns = {
            "key": pa.array([key.ljust(16, b"\0") for key in keys.tolist()], pa.binary(16)),
            "score": list_column(answers.scores),
            "tokens": list_column(answers.tokens),
            "cut": list_column(answers.cut),
        }
        if answers.against is not None:
            columns["against"] = list_column(answers.against)
        if answers.embeddings is not None:
            columns["embedding"] = list_column(answers.embeddings)
        about = canonical_json({"templates": templates, "words": words})
        table = pa.table(columns).replace_schema_metadata({"about": about})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        self.folder.write(f"{hashlib.sha256(content).hexdigest()[:32]}.parquet", content)


def is_part(name: str) -> bool:
    """Whether a file of a teacher's folder holds answers."""
    return name.endswith(".parquet") and not name.startswith(".")


def read_about(folder: LocalFolder | RemoteFolder) -> dict[str, Any]:
    """What a folder's about.json says of its asker, {asker, facts}; {} where nothing is known yet."""
    if ABOUT not in folder.names():
        return {}
    ((_, content),) = folder.read([ABOUT])
    return json.loads(content)


def canonical_json(value: Any) -> str:
    """JSON in one form: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def asker_settings(score: Mapping[str, Any]) -> dict[str, Any]:
    """How a teacher is asked, in the words that the store has always used for it.

    score: the keys of a teacher in params.yaml, in the form of today or in an earlier one (parts and overlap for
    chunk and stride): answers that were given before the keys were renamed are still known.
    """
    long_text = score.get("long_text")
    earlier: dict[Any, str] = {"truncate": "cut", "chunk": "parts"}
    return {
        "kind": score.get("kind"),
        "max_tokens": score.get("max_tokens"),
        "long_text": earlier.get(long_text, long_text),
        "overlap": score["stride"] if "stride" in score else score.get("overlap"),
    }


def template_json(template: Template) -> str:
    """A template as the store knows it: what is asked, wherever it stands in the list."""
    return canonical_json(template.model_dump(exclude_none=True))
