"""The parts of benchmarks.speed about teachers: each yields rows."""

import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.measuring import (
    clock,
    fastest_batch,
    in_turn,
    largest,
    peak,
    row,
    sorted_texts,
    teacher,
    texts_of,
)
from nolabels.core import models, params
from nolabels.core.schemas import TEXTS
from nolabels.core.tables import write_table
from nolabels.teachers import engines


def likelihood(repeats):
    """The default teacher against one plain pass over whole prompts; four templates against one; the peak."""
    import torch

    values = params.load()
    templates, words = values.score["teacher"].templates, values.task.words
    texts = texts_of("test", 64)
    ours = teacher("likelihood", "models/teacher", models.pick_precision("auto", "cpu"))
    model, tokenizer = models.load_model("models/teacher", "CausalLM", device="cpu", precision="float32")
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    template = templates[0]
    prompts = prompts_of(texts, template, tokenizer)
    answers = [tokenizer(" " + word, add_special_tokens=False)["input_ids"][0] for word in words]

    @torch.inference_mode()
    def plain(batch):
        for first in range(0, len(prompts), batch):
            given = tokenizer(
                prompts[first : first + batch],
                padding=True,
                add_special_tokens=False,
                return_tensors="pt",
            )
            model(**given, logits_to_keep=1).logits[:, -1, answers].log_softmax(-1)

    batch = fastest_batch(plain)
    short = sorted_texts(texts)
    best = peak(models.pick_precision("auto", "cpu"))  # before and after: a machine is not always as fast
    one, four, peer = in_turn(
        repeats,
        lambda: ours.ask(short, templates[:1], words),
        lambda: ours.ask(short, templates, words),
        lambda: plain(batch),
    )
    count = len(texts)
    yield row("likelihood, one template", count / one, count / peer, "texts/s", ">= 5")
    yield row("four templates against one", four, one, "s, a ratio of times", "<= 3")
    layers = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
    yield from useful(ours, layers, short, templates, words, four, best)
    yield from agreement(ours, templates, words)
    (weights,) = Path("models/teacher").glob("*.gguf")
    with peers.llama_server(weights, torch.get_num_threads(), 512) as url:
        one, peer = in_turn(
            repeats, lambda: ours.ask(short, templates[:1], words), lambda: peers.llama_labels(url, prompts)
        )
    yield row(
        "likelihood, one template, llama.cpp on the same GGUF", count / one, count / peer, "texts/s", ">= 3"
    )


def prompts_of(texts, template, tokenizer):
    """What the peers read: the whole prompt of each text, up to where the class goes."""
    start = template.answer.split("{class}")[0].rstrip()
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": template.chat.replace("{text}", text)}],
            tokenize=False,
            add_generation_prompt=True,
        )
        + start
        for text in texts
    ]


def agreement(ours, templates, words):
    """How many texts have the same label in float32, by the mean of all templates."""
    texts = sorted_texts(texts_of("test", 256))
    exact = teacher("likelihood", "models/teacher", "float32")
    labels = [
        (scores - np.median(scores, 0)).argmax(1)
        for scores in (one.ask(texts, templates, words).scores.mean(1) for one in (ours, exact))
    ]
    same = float((labels[0] == labels[1]).mean())
    yield row("labels equal to float32's", same, None, "share of 256 texts", ">= 0.97", same)


def useful(ours, layers, texts, templates, words, seconds, best):
    """Matrix products that real tokens need, over what the processor could have done in the time.

    2 operations for each token and each of the `layers` weights, 4 for each number of width, token in sight and
    layer for attention; padding, norms and the output matrix do not count.
    """
    from nolabels.teachers import causal_reader

    config = ours.model.config
    trees = []
    grow = causal_reader.grow_tree

    def watched(prompts, classes):
        trees.append(grow(prompts, classes))
        return trees[-1]

    causal_reader.grow_tree = watched
    try:
        ours.ask(texts, templates, words)
    finally:
        causal_reader.grow_tree = grow
    tokens = sum(len(tree.ids) for tree in trees)
    heads = [len(ids) for ids, _ in ours.reader.heads.values()]
    # a token sees its ancestors and the head; heads differ by template by a few tokens
    sight = sum(depth + 1 + statistics.mean(heads) for tree in trees for depth in tree.depths)
    work = 2 * layers * tokens + 4 * config.hidden_size * sight * config.num_hidden_layers
    precision = str(next(ours.model.parameters()).dtype).removeprefix("torch.")
    best = max(best, peak(precision))
    yield row(
        f"useful work of scoring over the {precision} peak",
        work / seconds / 1e9,
        best / 1e9,
        "GFLOP/s, a share",
        ">= 0.6",
    )


def similarity(repeats):
    """The second teacher's embeddings against sentence-transformers' encode."""
    ours = teacher("similarity", "models/base", models.pick_precision("auto", "cpu"))
    texts, encode = texts_of("test", 256), peers.sentence_encoder("models/base")
    batch = fastest_batch(lambda batch: encode(texts, batch))
    mine, peer = in_turn(repeats, lambda: ours.embed(texts), lambda: encode(texts, batch))
    yield row("similarity, sentence-transformers", 256 / mine, 256 / peer, "texts/s", ">= 2")
    near = float((ours.embed(texts)[0] * encode(texts, batch)).sum(1).min())
    yield row("similarity, least cosine of a text's two embeddings", near, None, "cosine", ">= 0.99", near)


def linear(repeats):
    """The stage `score` on tiny random models: cost of 10, 25 and 100 thousand texts, memory of 1 to 100."""
    from tests import tiny

    texts = [text for _, text in tiny.sentences(100_000)]
    template = {"plain": "Review: {text} It is {class}"}
    seconds = {}
    for count in (10_000, 25_000, 100_000):  # the stage tells tenths of a second
        runs = [
            score_tiny(tiny.causal_model, "likelihood", template, texts[:: 100_000 // count])
            for _ in range(max(1, repeats * 10_000 // count))
        ]
        seconds[count] = statistics.median(taken for taken, _ in runs) / count * 1000
    dearest = max(seconds.values())
    yield row(
        "scoring 10,000, 25,000, 100,000 texts: the dearest against the cheapest thousand",
        dearest,
        min(seconds.values()),
        "s for 1,000 texts, a ratio of times",
        "<= 1.1",
    )
    template = {"class_text": "It is {class}."}
    small, large = (
        score_tiny(tiny.encoder, "similarity", template, texts[:: 100_000 // count])[1]
        for count in (1_000, 100_000)
    )
    yield row("memory of scoring 100,000 texts against 1,000", large, small, "MiB, a ratio", "flat")


def score_tiny(make, kind, template, texts):
    """Seconds that the teacher took and the largest resident set in MiB of `score`, in a folder of its own."""
    import pyarrow as pa
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root / "teacher")
        values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        values["score"]["teacher"].update(kind=kind, templates=[template])
        (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        columns = {"id": [f"{n:032x}" for n in range(len(texts))], "text": texts, "row": range(len(texts))}
        write_table(root / "pool.parquet", pa.table(columns, schema=TEXTS))
        (root / "metrics").mkdir()
        memory = largest(root, "stages.score", "teacher", "pool.parquet", "teacher", "scores.parquet")
        taken = json.loads((root / "metrics/speed.json").read_text(encoding="utf-8"))["score_teacher_pool"]
        return taken["seconds"], memory


def workers(repeats):
    """Ray with workers of one thread against one teacher with all threads; 4,096 texts, once, weights loaded."""
    import torch

    values, threads = params.load(), torch.get_num_threads()
    texts = texts_of("pool", None) + texts_of("test", None)
    texts = sorted_texts([f"{texts[n % len(texts)]} {n}" for n in range(4096)])
    template, words = values.score["teacher"].templates[:1], values.task.words
    asked = [
        engines.Question(np.arange(start, start + 128), texts[start : start + 128], template, words)
        for start in range(0, len(texts), 128)
    ]
    place = {
        "device": "cpu",
        "precision": models.pick_precision("auto", "cpu"),
        "served": None,
        "descriptions": {},
    }
    seconds, labels = [], []
    for name, each in (("ray", 1), ("local", threads)):
        runtime = values.runtime.model_copy(update={"engine": name, "threads": each})
        engine = engines.start(runtime, values.score["teacher"], "models/teacher", name="teacher", **place)
        engine.rate(asked[0])
        found = np.zeros(len(texts), int)

        def answer(engine=engine, found=found):
            for question, answers in engine.answers(asked):
                found[question.rows] = answers.scores[:, 0].argmax(1)

        seconds.append(clock(answer))
        labels.append(found)
        engine.close()
    ours, peer = (len(texts) / taken for taken in seconds)
    yield row(
        f"Ray, {threads} workers of one thread, against one process with {threads}",
        ours,
        peer,
        "texts/s",
        ">= 0.85",
    )
    same = float((labels[0] == labels[1]).mean())
    yield row("labels equal to the local engine's", same, None, "share of 4,096 texts", "1", same)
