"""A small server of the Hugging Face hub's protocol on loopback, and what the tests keep on it.

Repositories are folders in memory: a list of commits, each {path: bytes}; files over LARGE bytes are
served as the hub serves what Git LFS keeps (ETag is a SHA-256, a redirect to another address), the
others with Git's own sum. It takes new repositories, branches, and commits whose large files were sent
before, as Git LFS sends them. `Faults` says what goes wrong.
"""

import base64
import hashlib
import io
import json
import random
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests import tiny

LARGE = 100_000
TOKEN = "hf_a-token-of-the-tests"


def commit_id(kind, name, number):
    return hashlib.sha1(f"{kind} {name} {number}".encode()).hexdigest()


def git_sum(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """commits: the files of each, oldest first; refs: name -> number of the commit; gated: asks for TOKEN."""

    kind: str
    name: str
    commits: list[dict[str, bytes]]
    refs: dict[str, int]
    gated: bool = False
    private: bool = False

    def find(self, revision):
        """Number of the commit, or None."""
        ids = [commit_id(self.kind, self.name, number) for number in range(len(self.commits))]
        return ids.index(revision) if revision in ids else self.refs.get(revision)


@dataclass
class Faults:
    """broken: path -> after how many bytes its first answers end, one number an answer; changed: path ->
    bytes that are sent instead; absent: paths that are listed and not there; status: answers to come,
    whatever is asked."""

    broken: dict[str, list[int]] = field(default_factory=dict)
    changed: dict[str, bytes] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    status: list[int] = field(default_factory=list)


class Hub(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.repositories, self.faults = {}, Faults()
        self.sent = {}  # SHA-256 -> content of a large file
        self.asked = []  # (method, path, range header, whether with TOKEN)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, kind, name, *commits, refs=None, **about):
        refs = {"main": len(commits) - 1} if refs is None else refs
        self.repositories[kind, name] = Repository(kind, name, list(commits), refs, **about)
        return commit_id(kind, name, refs.get("main", 0))

    def handle_error(self, request, client_address):
        pass  # the other end went away: that is what some tests are for


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urlsplit(self.path).path
        hub = self.server
        with_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        hub.asked.append((self.command, unquote(path), self.headers.get("Range"), with_token))
        if hub.faults.status:
            return self.refuse(hub.faults.status.pop(0), None)
        inner = ""
        if found := re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)/(revision|tree)/([^/]+)(?:/(.+))?", path
        ):
            kind, name, verb, revision, inner = found.groups(default="")
        elif found := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)", path):
            (kind, name), verb, revision = found.groups(), "revision", "main"
        elif found := re.fullmatch(r"(/blob)?/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            stored, kind, name, revision, inner = found.groups()
            kind, verb = "dataset" if kind else "model", "stored" if stored else "resolve"
        else:
            return self.refuse(404, "EntryNotFound")
        repository = hub.repositories.get((kind, unquote(name)))
        if repository is None or (repository.private and not with_token):
            return self.refuse(404 if with_token else 401, "RepoNotFound")
        number = repository.find(unquote(revision))
        if number is None:
            return self.refuse(404, "RevisionNotFound")
        files, commit = repository.commits[number], commit_id(kind, repository.name, number)
        if verb == "revision":
            return self.send_json(
                {
                    "id": repository.name,
                    "sha": commit,
                    "siblings": [],
                    "tags": [],
                    "private": repository.private,
                }
            )
        inner = unquote(inner)
        if verb == "tree":
            deep = "recursive=true" in urlsplit(self.path).query.lower()
            found = entries(files, f"{inner}/" if inner else "", deep)
            return self.send_json(found) if found else self.refuse(404, "EntryNotFound", commit)
        if repository.gated and not with_token and verb == "resolve":
            return self.refuse(401, "GatedRepo", commit)
        if inner not in files or inner in hub.faults.absent:
            return self.refuse(404, "EntryNotFound", commit)
        return self.send_file(inner, files[inner], commit, verb)

    def do_POST(self):
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub = self.server
        with_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        hub.asked.append((self.command, unquote(path), None, with_token))
        if found := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            return self.tell_paths(found, body.decode())
        if hub.faults.status:
            return self.refuse(hub.faults.status.pop(0), None)
        if not with_token:
            return self.refuse(401, None)
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            wrong = [] if json.loads(body)["content"].startswith("---\n") else [{"message": "no head"}]
            return self.send_json({"errors": wrong, "warnings": []}, 400 if wrong else 200)
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.send_json(
                {"transfer": "basic", "objects": self.where_to(json.loads(body)["objects"])}
            )
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/([^/]+)", path):
            name, verb, revision = found[1], found[2], unquote(found[3])
            repository = hub.repositories.get(("model", name))
            if repository is None:
                return self.refuse(404, "RepoNotFound")
            if verb == "branch":
                known = revision in repository.refs
                repository.refs.setdefault(revision, repository.refs["main"])
                return self.send_json({"error": "exists"} if known else {}, 409 if known else 200)
            if revision not in repository.refs:
                return self.refuse(404, "RevisionNotFound")
            if verb == "preupload":
                return self.send_json({"files": [upload_mode(file) for file in json.loads(body)["files"]]})
            return self.commit(repository, revision, [json.loads(line) for line in body.splitlines()])
        return self.refuse(404, "EntryNotFound")

    def do_PUT(self):
        """A large file, to the address that was told for it."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.command, self.path, None, "Authorization" in self.headers))
        self.server.sent[urlsplit(self.path).path.removeprefix("/upload/")] = content
        self.send_json({})

    def create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        known = ("model", name) in self.server.repositories
        if not known:
            self.server.add("model", name, {}, private=asked["visibility"] == "private")
        self.send_json({"url": f"{self.server.url}/{name}"}, 409 if known else 200)

    def where_to(self, objects):
        """Where each of some large files is to be sent; nothing for those that are here."""
        return [
            {key: one[key] for key in ("oid", "size")}
            | (
                {}
                if one["oid"] in self.server.sent
                else {
                    "actions": {
                        "upload": {"href": f"{self.server.url}/upload/{one['oid']}?Signature=let-me-in"}
                    }
                }
            )
            for one in objects
        ]

    def commit(self, repository, revision, lines):
        """The files of a commit, in full; the new commit is the branch's last one."""
        files = dict(repository.commits[repository.refs[revision]])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self.server.sent.get(value["oid"], b"")
                if hashlib.sha256(content).hexdigest() != value["oid"]:
                    return self.refuse(400, None)
                files[value["path"]] = content
        repository.commits.append(files)
        repository.refs[revision] = len(repository.commits) - 1
        sha = commit_id(repository.kind, repository.name, repository.refs[revision])
        return self.send_json(
            {"commitUrl": f"{self.server.url}/{repository.name}/commit/{sha}", "commitOid": sha}
        )

    def tell_paths(self, found, body):
        """paths-info: which of some paths are there."""
        wanted = (
            json.loads(body)["paths"]
            if body.startswith("{")
            else [
                unquote(part.split("=", 1)[1].replace("+", " "))
                for part in body.split("&")
                if part.startswith("paths=")
            ]
        )
        repository = self.server.repositories.get(found.groups()[:2])
        files = repository.commits[repository.find(unquote(found[3]))]
        inside = [listed(path, files[path]) for path in wanted if path in files]
        folders = [
            {"type": "directory", "path": path, "oid": "0" * 40}
            for path in wanted
            if path not in files and any(name.startswith(f"{path}/") for name in files)
        ]
        self.send_json(inside + folders)

    def refuse(self, status, code, commit=None):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_file(self, path, content, commit, verb):
        """A file, or of a large one where it is; as the hub does, with the sums of the true content."""
        large = len(content) > LARGE
        true_sum = hashlib.sha256(content).hexdigest() if large else git_sum(content)
        if large and verb == "resolve":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/blob{self.path}?Signature=let-me-in")
            self.send_header("X-Linked-Etag", f'"{true_sum}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = self.server.faults.changed.get(path, content)
        first = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            first = int(asked[1])
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{true_sum}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if self.command == "HEAD":
            return None
        broken = self.server.faults.broken.get(path)
        if broken:
            self.wfile.write(content[first : first + broken.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return None
        self.wfile.write(content[first:])
        return None


def upload_mode(file):
    """How a file is sent: large ones by themselves, before the commit."""
    mode = "lfs" if file["size"] > LARGE else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}


def entries(files, folder, deep):
    """What the hub lists under a folder; deep: with what lies in its folders."""
    found = {}
    for path, content in sorted(files.items()):
        if not path.startswith(folder):
            continue
        *parents, _ = path.removeprefix(folder).split("/")
        if parents:
            name = folder + parents[0]
            found.setdefault(name, {"type": "directory", "path": name, "oid": git_sum(name.encode())})
        if deep or not parents:
            found[path] = listed(path, content)
    return list(found.values())


def listed(path, content):
    found = {"type": "file", "path": path, "size": len(content), "oid": git_sum(content)}
    if len(content) > LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
    return found


@contextmanager
def serve():
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def contents(folder):
    """The files of a folder: {relative path: bytes}."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pickled(files):
    """A model's files with the weights in the form that the older models have: pytorch_model.bin."""
    import torch
    from safetensors.torch import load

    sink = io.BytesIO()
    torch.save(load(files["model.safetensors"]), sink)
    rest = {path: content for path, content in files.items() if path != "model.safetensors"}
    return {**rest, "pytorch_model.bin": sink.getvalue()}


def nli_model(folder, seed=0):
    """A two-layer DeBERTa of random weights that answers contradiction, neutral, entailment."""
    import torch
    from transformers import DebertaConfig, DebertaForSequenceClassification

    tokenizer = tiny.byte_tokenizer()
    torch.manual_seed(seed)
    labels = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    config = DebertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        type_vocab_size=0,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        position_biased_input=False,
        initializer_range=0.2,
        id2label=labels,
        label2id={name: index for index, name in labels.items()},
    )
    DebertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def electra_model(folder, seed=0):
    """A two-layer ELECTRA discriminator of random weights."""
    import torch
    from transformers import ElectraConfig, ElectraForPreTraining

    tokenizer = tiny.byte_tokenizer()
    torch.manual_seed(seed)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    ElectraForPreTraining(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def sst2_rows(train=67_349, validation=872, seed=0):
    """Made-up phrases in the shape of GLUE SST-2: {split: [(sentence, label, idx)]}.

    As in the source, training phrases are short parts of sentences, so some stand there twice and
    some are a whole validation sentence.
    """
    draw = random.Random(seed)

    def phrase(longest):
        label = draw.randint(0, 1)
        words = draw.choices(tiny.FILL, k=draw.randint(1, longest))
        words.insert(draw.randrange(len(words) + 1), draw.choice(tiny.GOOD if label else tiny.BAD))
        return " ".join(words) + " ", label

    tested = [phrase(18) for _ in range(validation)]
    learned = [phrase(6) for _ in range(train - 20)] + tested[:20]
    draw.shuffle(learned)
    rows = {"train": learned, "validation": tested, "test": [(text, -1) for text, _ in tested[:100]]}
    return {
        split: [(text, label, index) for index, (text, label) in enumerate(some)]
        for split, some in rows.items()
    }


def parquet(**columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def glue(rows):
    """The files of nyu-mll/glue as far as SST-2 goes."""
    card = (
        "---\nconfigs:\n- config_name: cola\n  data_files:\n  - split: train\n    path: cola/train-*\n"
        "- config_name: sst2\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: sst2/{split}-*\n" for split in rows)
        + "---\n# GLUE\n"
    )
    files = {
        "README.md": card.encode(),
        "cola/train-00000-of-00001.parquet": parquet(sentence=["A."], label=[1]),
    }
    for split, some in rows.items():
        sentences, labels, indices = zip(*some, strict=True)
        content = parquet(sentence=list(sentences), label=list(labels), idx=list(indices))
        files[f"sst2/{split}-00000-of-00001.parquet"] = content
    return files
