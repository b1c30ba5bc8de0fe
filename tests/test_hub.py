"""Assets of a hub: what is taken, and each way in which it can fail, against a hub on loopback."""

import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data import readers
from nolabels.data.hub import download, pickles
from tests import hub

pytestmark = pytest.mark.slow  # each fetch is a process

ROOT = Path(__file__).parent.parent
MODEL = {"hub": "some/model", "revision": "main", "weights": "safetensors", "files": {}}
DATA = {
    "hub": "some/data",
    "config": None,
    "splits": {"pool": "train", "test": "test"},
    "revision": "main",
    "files": {},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return hub.contents(hub.electra_model(tmp_path_factory.mktemp("electra")))


@pytest.fixture
def served():
    with hub.serve() as server:
        yield server


def start(folder, url, key, asset, token=None):
    """Runs the stage in a folder of its own; key: dataset, or the name of a model, teacher or base."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (values["fetch"] if key == "dataset" else values["fetch"]["models"])[key] = asset
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "own").mkdir(exist_ok=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "DVC_")) and name.lower() not in ("http_proxy", "all_proxy")
    }
    environment |= {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": url, "HF_HOME": str(folder / "home")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.fetch", key if key == "dataset" else f"models.{key}", "out", "own"],
        cwd=folder,
        env=environment | ({"HF_TOKEN": token} if token else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(folder, url, key, asset, token=None):
    process = start(folder, url, key, asset, token)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def refused(result):
    """The message of a stage that ended with one line."""
    code, _, error = result
    assert code == 1 and error.startswith("error: ") and error.count("\n") == 1, error
    return error.removeprefix("error: ").strip()


def test_takes_what_a_model_needs_and_says_which_commit(tmp_path, served, model):
    junk = dict.fromkeys(
        ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/config.json"],
        b"x",
    )
    junk |= {
        "README.md": b"# A model",
        "bpe_encoder.bin": b"x",
        "model.fp16.safetensors": b"x",
        "run.py": b"x",
    }
    module = {"1_Pooling/config.json": b"{}", "2_Dense/model.safetensors": b"x"}
    first = served.add(
        "model", "some/model", {**model, **module, **junk}, {"config.json": b"{}"}, refs={"main": 0}
    )
    code, out, error = fetch(tmp_path, served.url, "teacher", MODEL)
    assert code == 0, error
    assert f"some/model at {first}" in out
    found = hub.contents(tmp_path / "out")
    note = yaml.safe_load(found.pop("hub.yaml"))
    assert found == {**model, **module}
    assert note["commit"] == first and note["revision"] == "main"
    assert note["files"] == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    again = tmp_path / "again"
    again.mkdir()
    assert fetch(again, served.url, "teacher", MODEL)[0] == 0
    assert hub.contents(again / "out") == hub.contents(tmp_path / "out")


@pytest.mark.parametrize("revision", ["v1", "refs/pr/7", hub.commit_id("model", "some/model", 0)])
def test_a_revision_is_a_branch_a_tag_or_a_commit(tmp_path, served, model, revision):
    refs = {"main": 1, "v1": 0, "refs/pr/7": 0}
    served.add("model", "some/model", model, {**model, "config.json": b"{}"}, refs=refs)
    assert fetch(tmp_path, served.url, "base", {**MODEL, "revision": revision})[0] == 0
    assert (tmp_path / "out/config.json").read_bytes() == model["config.json"]


def test_pickled_weights_are_taken_on_demand_and_left_as_safetensors(tmp_path, served, model):
    served.add("model", "some/model", hub.pickled(model))
    message = refused(fetch(tmp_path, served.url, "base", MODEL))
    assert message == (
        "params.yaml: fetch.models.base.weights: some/model must have safetensors weights, found pytorch_model.bin; "
        "weights: pickle takes those, or revision: refs/pr/N where safetensors are proposed"
    )
    assert fetch(tmp_path, served.url, "base", {**MODEL, "weights": "pickle"})[0] == 0
    assert not list((tmp_path / "out").glob("*.bin"))

    import torch
    import transformers
    from safetensors.torch import load

    wanted, found = load(model["model.safetensors"]), load((tmp_path / "out/model.safetensors").read_bytes())
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[key], found[key]) for key in wanted)
    transformers.AutoModel.from_pretrained(tmp_path / "out", use_safetensors=True)


class Evil:
    def __reduce__(self):
        return os.system, ("touch run-by-pickle",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, served, model):
    files = {**hub.pickled(model), "pytorch_model.bin": pickle.dumps(Evil(), protocol=2)}
    served.add("model", "some/model", files)
    message = refused(fetch(tmp_path, served.url, "base", {**MODEL, "weights": "pickle"}))
    assert (
        message
        == "fetch.models.base: pytorch_model.bin must hold tensors and nothing else, found posix.system"
    )
    assert not (tmp_path / "run-by-pickle").exists() and not (tmp_path / "out").exists()


def test_shards_of_pickled_weights(tmp_path, model):
    import torch
    from safetensors.torch import load, load_file

    tensors = load(model["model.safetensors"])
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        torch.save(
            {name: tensors[name] for name in part}, tmp_path / f"pytorch_model-0000{number}-of-00002.bin"
        )
    index = tmp_path / "pytorch_model.bin.index.json"
    shard = {name: f"pytorch_model-0000{1 + place % 2}-of-00002.bin" for place, name in enumerate(names)}
    index.write_text(json.dumps({"metadata": {}, "weight_map": shard}))
    for path in sorted(tmp_path.glob("*.bin")):
        pickles.convert(path, "fetch.models.base")
    pickles.convert_index(index)
    shards = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {*shards.values(), "model.safetensors.index.json"}
    )
    assert all(name in load_file(tmp_path / shards[name]) for name in names)


def test_one_gguf_file_of_several(tmp_path, served):
    served.add("model", "some/model", {"a.Q4.gguf": b"GGUF a", "a.Q8.gguf": b"GGUF b", "README.md": b""})
    assert fetch(tmp_path, served.url, "teacher", {**MODEL, "weights": "a.Q4.gguf"})[0] == 0
    assert sorted(hub.contents(tmp_path / "out")) == ["a.Q4.gguf", "hub.yaml"]


FAILURES = {
    "wrong revision": (
        {"revision": "v9"},
        {},
        "fetch.models.teacher: revision must be a branch, tag or commit of some/model, found 'v9'",
    ),
    "missing repository": (
        {"hub": "some/modle"},
        {},
        "fetch.models.teacher: hub must name a model of {address}, found none called some/modle without a token "
        "(HF_TOKEN is not set)",
    ),
    "gated": (
        {"hub": "some/gated"},
        {},
        "fetch.models.teacher: some/gated is gated and refused without a token (HF_TOKEN is not set); ask for access on "
        "its page",
    ),
    "gated, with a token that is not good": (
        {"hub": "some/gated"},
        {"token": "hf_secret"},
        "fetch.models.teacher: some/gated is gated and refused with the token of HF_TOKEN; ask for access on its page",
    ),
    "no weights": (
        {"hub": "some/empty"},
        {},
        "params.yaml: fetch.models.teacher.weights: some/empty must have safetensors weights, found none",
    ),
    "a file that is listed is missing": (
        {},
        {"absent": {"tokenizer.json"}},
        "fetch.models.teacher: some/model must have tokenizer.json at the revision, found none",
    ),
    "a pinned file is missing": (
        {"files": {"merges.txt": "0" * 64}},
        {},
        "params.yaml: fetch.models.teacher.files: merges.txt must be in some/model, found chat_template.jinja, config.json, "
        "model.safetensors, tokenizer.json, tokenizer_config.json",
    ),
    "other bytes in a small file": (
        {},
        {"changed": {"config.json": None}},
        "fetch.models.teacher: Git's sum of config.json must be {git}, found {changed_git}",
    ),
    "other bytes in a large file": (
        {},
        {"changed": {"model.safetensors": None}},
        "fetch.models.teacher: sha256 of model.safetensors must be {sha}, found {changed_sha}",
    ),
    "other bytes than pinned": (
        {"files": {"model.safetensors": "0" * 64}},
        {},
        "fetch.models.teacher: sha256 of model.safetensors must be 0000000000000000000000000000000000000000000000000000000000000000, "
        "found {sha}",
    ),
    "no access": (
        {},
        {"status": [403] * 9},
        "fetch.models.teacher: some/model refused access without a token (HF_TOKEN is not set) (status 403)",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_one_line(tmp_path, served, model, name):
    change, fault, message = FAILURES[name]
    served.add("model", "some/model", model)
    served.add("model", "some/gated", model, gated=True)
    served.add("model", "some/empty", {"config.json": b"{}", "README.md": b""})
    token = fault.get("token")
    words = {"address": f"127.0.0.1:{served.server_port}"}
    for path, key in (("config.json", "git"), ("model.safetensors", "sha")):
        other = model[path][:-1] + b"?"  # as long as the true one, so that only a sum can tell
        words |= {
            "git": hub.git_sum(model["config.json"]),
            "sha": hashlib.sha256(model["model.safetensors"]).hexdigest(),
        }
        if path in fault.get("changed", {}):
            fault = {"changed": {path: other}}
            words[f"changed_{key}"] = (
                hub.git_sum(other) if key == "git" else hashlib.sha256(other).hexdigest()
            )
    for key, value in fault.items():
        if key != "token":
            setattr(served.faults, key, value)
    assert refused(fetch(tmp_path, served.url, "teacher", {**MODEL, **change}, token)) == message.format(
        **words
    )
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_refused_is_asked_for_again(tmp_path, served, model):
    served.add("model", "some/model", model)
    served.faults.changed["config.json"] = model["config.json"][:-1] + b"?"
    refused(fetch(tmp_path, served.url, "teacher", MODEL))
    served.faults.changed.clear()
    assert fetch(tmp_path, served.url, "teacher", MODEL)[0] == 0


def test_a_token_opens_what_is_gated_and_is_seen_nowhere(tmp_path, served, model):
    served.add("model", "some/gated", model, gated=True)
    code, out, error = fetch(tmp_path, served.url, "teacher", {**MODEL, "hub": "some/gated"}, hub.TOKEN)
    assert code == 0, error
    assert any(with_token for *_, with_token in served.asked)
    assert hub.TOKEN not in out + error
    assert not any(hub.TOKEN.encode() in content for content in hub.contents(tmp_path).values())


def test_no_token_is_sent_but_that_of_the_environment(tmp_path, served, model):
    served.add("model", "some/model", model)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/token").write_text(hub.TOKEN)
    assert fetch(tmp_path, served.url, "teacher", MODEL)[0] == 0
    assert not any(with_token for *_, with_token in served.asked)


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path, served, model):
    block = 10 << 20  # what huggingface_hub has not written when the connection breaks is asked for again
    content = hashlib.shake_256(b"weights").digest(25 << 20)
    served.add("model", "some/model", {**model, "model.safetensors": content})
    served.faults.broken["model.safetensors"] = [block + 5000, block + 7000]
    code, _, error = fetch(tmp_path, served.url, "teacher", MODEL)
    assert code == 0, error
    assert (tmp_path / "out/model.safetensors").read_bytes() == content
    ranges = [
        asked for method, path, asked, _ in served.asked if path.endswith(".safetensors") and method == "GET"
    ]
    assert ranges == [None, f"bytes={block}-", f"bytes={2 * block}-"]


def test_a_run_that_was_killed_goes_on(tmp_path, served, model):
    served.add("model", "some/model", model)
    served.faults.broken["model.safetensors"] = [10] * 100
    process = start(tmp_path, served.url, "teacher", MODEL)
    small = tmp_path / ".out.partial/tokenizer.json"
    for _ in range(600):
        if small.exists() and len(served.faults.broken["model.safetensors"]) < 99:
            break
        time.sleep(0.05)
    process.kill()
    process.communicate()
    served.faults.broken.clear()
    served.asked.clear()
    assert fetch(tmp_path, served.url, "teacher", MODEL)[0] == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in model} == model
    got = {Path(path).name for method, path, *_ in served.asked if method == "GET" and "/resolve/" in path}
    assert "model.safetensors" in got and "tokenizer.json" not in got


def test_a_hub_in_trouble_is_asked_again(tmp_path, served, model):
    served.add("model", "some/model", model)
    served.faults.status = [503, 429]
    code, out, error = fetch(tmp_path, served.url, "teacher", MODEL)
    assert code == 0, error
    assert f"127.0.0.1:{served.server_port} answered with status 503; asking again in 1 s" in out


def test_no_network_is_one_line(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message = refused(fetch(tmp_path, f"http://user:password@127.0.0.1:{port}", "teacher", MODEL))
    assert (
        message
        == f"fetch.models.teacher: 127.0.0.1:{port} cannot be reached, or the connection broke (ConnectError)"
    )


def test_splits_of_a_dataset_land_as_parquet(tmp_path, served):
    rows = hub.sst2_rows(train=3000, validation=50)
    asset = {
        "hub": "nyu-mll/glue",
        "config": "sst2",
        "splits": {"pool": "train", "test": "validation"},
        "revision": "main",
        "files": {},
    }
    commit = served.add("dataset", "nyu-mll/glue", hub.glue(rows))
    code, _, error = fetch(tmp_path, served.url, "dataset", asset)
    assert code == 0, error
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "hub.yaml",
        "pool-00000.parquet",
        "test-00000.parquet",
    ]
    found = pq.read_table(out / "pool-00000.parquet")
    assert found["sentence"].to_pylist() == [text for text, _, _ in rows["train"]]
    assert pq.read_table(out / "test-00000.parquet").num_rows == 50
    note = yaml.safe_load((out / download.NOTE).read_text())
    assert note["commit"] == commit and note["files"]["test-00000.parquet"]["from"].startswith(
        "sst2/validation-"
    )
    pool, test = readers.list_files(out, "test-*.parquet")
    assert [path.name for path in pool + test] == ["pool-00000.parquet", "test-00000.parquet"]
    for change, message in (
        (
            {"splits": {"pool": "training", "test": None}},
            "splits.pool: must be one of train, validation, test, found 'training'",
        ),
        (
            {"config": "sst3"},
            "config: must be one that datasets can read (BuilderConfig 'sst3' not found. Available: ['cola', 'sst2'])",
        ),
    ):
        assert refused(fetch(tmp_path, served.url, "dataset", {**asset, **change})) == (
            f"params.yaml: fetch.dataset.{message}"
        )
    for change, message in (
        ({"hub": "nyu-mll/gleu"}, "hub must name a dataset of 127.0.0.1"),
        ({"revision": "v9"}, "revision must be a branch, tag or commit of nyu-mll/glue, found 'v9'"),
    ):
        assert refused(fetch(tmp_path, served.url, "dataset", {**asset, **change})).startswith(
            f"fetch.dataset: {message}"
        )


def test_other_bytes_in_a_dataset_are_refused(tmp_path, served):
    files = {"data/train-00000-of-00001.parquet": hub.parquet(text=["a", "b"])}
    served.add("dataset", "some/data", files)
    (path, content), *_ = files.items()
    served.faults.changed[path] = content[:-1] + b"?"
    asset = {**DATA, "splits": {"pool": "train", "test": None}}
    message = refused(fetch(tmp_path, served.url, "dataset", asset))
    assert message.startswith(f"fetch.dataset: Git's sum of {path} must be {hub.git_sum(content)}, found ")


@pytest.mark.parametrize("form", ["jsonl", "csv", "shards"])
def test_datasets_of_other_forms(tmp_path, served, form):
    rows = [{"text": f"Nummer {number}, ä", "label": number % 2} for number in range(5)]
    if form == "jsonl":
        files = {f"{split}.jsonl": "\n".join(map(json.dumps, rows)).encode() for split in ("train", "test")}
    elif form == "csv":
        lines = "\n".join(["text;label", *(f"{row['text']};{row['label']}" for row in rows)])
        card = (
            "---\nconfigs:\n- config_name: default\n  sep: ;\n  data_files:\n"
            "  - split: train\n    path: a.csv\n  - split: test\n    path: b.csv\n---\n"
        )
        files = {"README.md": card.encode(), "a.csv": lines.encode(), "b.csv": lines.encode()}
    else:
        content = hub.parquet(text=[row["text"] for row in rows])
        files = {
            f"data/{split}-0000{n}-of-00002.parquet": content for n in (0, 1) for split in ("train", "test")
        }
    served.add("dataset", "some/data", files)
    code, _, error = fetch(tmp_path, served.url, "dataset", DATA)
    assert code == 0, error
    parts = sorted(path.name for path in (tmp_path / "out").glob("pool-*.parquet"))
    assert len(parts) == (2 if form == "shards" else 1)
    assert pq.read_table(tmp_path / "out" / parts[-1])["text"].to_pylist() == [row["text"] for row in rows]


BAD_VALUES = {
    "a way that is none": ({"hub": "a/b"}, "fetch.models.base.revision: is missing"),
    "weights": (
        {**MODEL, "weights": "bin"},
        "fetch.models.base.weights: must be safetensors, pickle or the name of a .gguf file, found 'bin'",
    ),
    "revision": ({**MODEL, "revision": 123}, "fetch.models.base.revision: must be a valid string, found 123"),
    "name": (
        {**MODEL, "hub": "https://huggingface.co/a/b"},
        "fetch.models.base.hub: must be OWNER/NAME as the hub has it, found 'https://huggingface.co/a/b'",
    ),
    "sum": ({**MODEL, "files": {"a": "b"}}, "fetch.models.base.files.a: must be 64 hex digits, found 'b'"),
    "key": ({**MODEL, "config": "x"}, "fetch.models.base.config: is not a known parameter, found 'x'"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_is_named_by_its_key(tmp_path, name):
    asset, message = BAD_VALUES[name]
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["fetch"]["models"]["base"] = asset
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError, match=r"params.yaml: .*" + message.replace(".", r"\.")):
        params.load(tmp_path / "params.yaml")
