"""The endpoint teacher against a real server of llama.cpp, with the default teacher and the default texts."""

import json
import random

import numpy as np
import pytest
import requests

from benchmarks.peers import llama_server
from nolabels.core import params
from nolabels.core.params import Served, Template
from nolabels.data import packages
from nolabels.labeling.calibration import match_prior
from nolabels.teachers.endpoint import Endpoint, split_template
from nolabels.teachers.likelihood import Likelihood
from nolabels.teachers.teacher import Reading

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
pytest.importorskip("xllamacpp", reason="xllamacpp of requirements-dev.txt is not installed")

COUNT = 300
SLOTS = 4


@pytest.fixture(scope="module")
def values():
    return params.load()


@pytest.fixture(scope="module")
def folder(values, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    packages.take(values.fetch.models["teacher"], "fetch.models.teacher", folder)
    return folder


@pytest.fixture(scope="module")
def texts(values, tmp_path_factory):
    """Some of the default source."""
    folder = tmp_path_factory.mktemp("texts") / "texts"
    packages.take(values.fetch.dataset, "fetch.dataset", folder)
    (file,) = folder.iterdir()
    column = values.sample.columns.index(values.sample.text)
    lines = file.read_text(encoding="utf-8").splitlines()
    return random.Random(0).sample(list(dict.fromkeys(line.split("\t")[column] for line in lines)), COUNT)


@pytest.fixture
def url(folder):
    """The server's address, on loopback."""
    (model,) = folder.glob("*.gguf")
    with llama_server(model, threads=1, context=512, slots=SLOTS, metrics=True) as address:
        yield address


def read_tokens(url):
    """Tokens of prompts that the server's model has read; those in a cache do not count."""
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("llamacpp:prompt_tokens_total ")]
    return int(float(found))


def matched(scores):
    """Scores N x K -> N labels after prior matching with equal shares."""
    classes = scores.shape[1]
    return (scores + match_prior(scores, np.full(classes, 1 / classes))).argmax(-1)


def test_labels_are_those_of_the_local_teacher_and_no_head_is_read_twice(
    values, url, folder, texts, tmp_path
):
    plain = next(template for template in values.score["teacher"].templates if template.plain)
    longer = Template(plain=plain.plain.replace("{class}", "rather {class}."))  # words of two tokens
    templates, words, reading = (
        [plain, longer],
        values.task.words,
        Reading(values.score["teacher"].max_tokens, None),
    )
    (tmp_path / "endpoint.json").write_text(json.dumps({"endpoint": f"{url}/v1", "model": "any"}))
    served = Served(
        concurrency=2 * SLOTS, requests_per_minute=None, timeout_seconds=60.0, retries=0, key_env=None
    )
    teacher = Endpoint(tmp_path, name="teacher", served=served, reading=reading)
    asked = teacher.ask(texts, templates, words)
    read = read_tokens(url)

    local = Likelihood(folder, name="teacher", device="cpu", precision="float32", reading=reading)
    expected = local.ask(texts, templates, words)
    assert asked.tokens.tolist() == expected.tokens.tolist()
    # the server rounds what its products read to 8 bits
    assert np.abs(asked.scores - expected.scores).mean() < 0.15
    # labels of the first template and of both, after prior matching
    for count in (1, 2):
        ours, theirs = (matched(found.scores[:, :count].mean(1)) for found in (asked, expected))
        assert (ours == theirs).mean() >= 0.97

    # each text once, with the end of its prompt, and one or two tokens for each further answer about it
    before, start, _ = split_template(plain.plain, words[0])
    whole = sum(map(len, local.encode([before + text + start for text in texts], True)))
    assert whole / 2 < read < whole + 2 * len(words) * len(templates) * len(texts) < 2 * whole
