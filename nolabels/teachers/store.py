"""The answer store: what a teacher has answered, kept outside DVC's outs and never asked twice.

DVC deletes a stage's outs before it runs, so answers that cost hours cannot live there. The store
is a folder per asker (everything that decides an answer but the question: teacher, precision, cut),
of parts that are written whole or not at all. A part is named by the checksum of its bytes, so one
that a disk has damaged is noticed, thrown away and asked again, and two that write to one store never
write to one file. It lies on a disk, or at any address that fsspec knows (s3://…), for a team.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nolabels.core.stage import say
from nolabels.teachers.known_answers import Known, rows_of
from nolabels.teachers.store_folders import open_folder

ABOUT = "about.json"


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


def is_part(name):
    return name.endswith(".parquet") and not name.startswith(".")


def facts_of(folder):
    """What stands in a folder about its asker: {asker, facts}, or {} where nothing is known yet."""
    if ABOUT not in folder.names():
        return {}
    ((_, content),) = folder.read([ABOUT])
    return json.loads(content)


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
