"""How fast the pipeline is beside what people would use instead; both sides in one run, in turn.

usage: python -m benchmarks.speed [--only PART ...] [--repeats 5]

Needs a finished `dvc repro` in this folder. Writes benchmarks/speed.json, a row for each measurement,
and benchmarks/speed.md, the same for people. A run of some parts replaces their rows alone. A peer runs
as its documentation says, in float32, with the batch of 8, 32 or 64 that is fastest for it. Figures
are medians; `ratio` is how many times faster ours is, unless the unit says otherwise. A row that misses what was asked is
marked as short.
"""

import json
import operator
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks import peers, tasks
from nolabels.core import models, params
from nolabels.core.schemas import TEXTS
from nolabels.core.speed import processor
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import read_table, write_json, write_table
from nolabels.teachers import engines, kinds

JSON, PAGE = Path("benchmarks/speed.json"), Path("benchmarks/speed.md")
BATCHES = (8, 32, 64)
FLAT = "<= 1.1"  # what memory that does not grow comes to
NLI = {  # the sizes of microsoft/deberta-base and roberta-base, before their heads
    "deberta": {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["c2p", "p2c"],
        "max_relative_positions": -1,
        "type_vocab_size": 0,
        "max_position_embeddings": 512,
    },
    "roberta": {"type_vocab_size": 1, "max_position_embeddings": 514},
}
TOPICS = ["politics", "sport", "business", "science", "health", "travel", "food", "music", "film", "weather"]


def clock(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_turn(repeats, *calls):
    """Median seconds of each call, all called in turn, after one call of each that does not count."""
    for call in calls:
        call()
    seconds = [[clock(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def fastest_batch(call):
    """The batch size, of BATCHES, with which call(batch) is fastest."""
    call(BATCHES[0])
    return min(BATCHES, key=lambda batch: clock(lambda: call(batch)))


def row(name, ours, peer, unit, asked, ratio=None):
    return {
        "name": name,
        "ours": round(ours, 4),
        "peer": None if peer is None else round(peer, 4),
        "unit": unit,
        "ratio": round(ours / peer if ratio is None else ratio, 3),
        "asked": asked,
    }


def texts_of(table, count):
    """The first texts of a table, which are a random draw."""
    return read_table(f"data/{table}.parquet", ["text"])["text"].to_pylist()[:count]


def sorted_texts(texts):
    return sorted(texts, key=len)


def teacher(kind, folder, precision, **changes):
    values = params.load()
    score = values.score["teacher"].model_copy(update={"kind": kind, **changes})
    given = {"name": "teacher", "device": "cpu", "precision": precision}
    return kinds.load_teacher(score, Path(folder), served=None, descriptions={}, **given)


def precisions():
    """float32, and bfloat16 where the processor multiplies it natively."""
    return sorted({"float32", models.pick_precision("auto", "cpu")})


def peak(precision):
    """Floating-point operations a second of a large matrix product, the best of several."""
    import torch

    size = 2048
    left, right = (torch.randn(size, size, dtype=getattr(torch, precision)) for _ in range(2))
    return 2 * size**3 / min(clock(lambda: left @ right) for _ in range(8))


# ---------------------------------------------------------------------- scoring


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
    start = template.answer.split("{class}")[0].rstrip()
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": template.chat.replace("{text}", text)}],
            tokenize=False,
            add_generation_prompt=True,
        )
        + start
        for text in texts
    ]
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


def nli(folder, family):
    """A model of random weights in a base model's size, and a tokenizer learned from the pool's texts."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers import models as kinds

    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<mask>"]
    tokenizer.train_from_iterator(
        texts_of("pool", None),
        trainers.BpeTrainer(
            vocab_size=20_000,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    pair = "<s> $A </s> $B </s>" if family == "deberta" else "<s> $A </s> </s> $B </s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    labels = ["contradiction", "neutral", "entailment"]
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=50_265,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        id2label=dict(enumerate(labels)),
        label2id={name: number for number, name in enumerate(labels)},
        **NLI[family],
    )
    torch.manual_seed(0)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("bos_token", "pad_token", "eos_token", "mask_token"), special, strict=True)),
        cls_token="<s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
    ).save_pretrained(folder)


def entailment(repeats):
    """Models of DeBERTa-base's and RoBERTa-base's size against transformers' own pipeline, and onnxruntime in int8."""
    import torch
    import transformers

    asked = {("bfloat16", 2): 4, ("bfloat16", 10): 3, ("float32", 2): 1.4, ("float32", 10): 1.1}
    template = params.Template(hypothesis="This example is about {class}.")
    for family in NLI:
        with tempfile.TemporaryDirectory() as folder:
            nli(folder, family)
            peer = transformers.pipeline("zero-shot-classification", model=folder, device="cpu")
            int8 = peers.onnx_int8(peer.model, Path(folder), torch.get_num_threads())
            ours = {
                precision: teacher("entailment", folder, precision, templates=[template])
                for precision in precisions()
            }
            for classes, count in ((2, 64), (10, 20)):
                texts, names = texts_of("test", count), TOPICS[:classes]

                def theirs(batch, texts=texts, names=names, peer=peer):
                    peer(
                        texts,
                        candidate_labels=names,
                        hypothesis_template=template.hypothesis.replace("{class}", "{}"),
                        batch_size=batch,
                    )

                pairs = [
                    (text, template.hypothesis.replace("{class}", name)) for text in texts for name in names
                ]

                def quantized(batch, pairs=pairs, tokenizer=peer.tokenizer, int8=int8):
                    for start in range(0, len(pairs), batch):
                        int8(tokenizer(pairs[start : start + batch], padding=True, return_tensors="np"))

                batch, short = fastest_batch(theirs), sorted_texts(texts)
                int8_batch = fastest_batch(quantized)
                calls = [
                    lambda one=one, short=short, names=names: one.ask(short, [template], names)
                    for one in ours.values()
                ]
                *found, seconds, of_int8 = in_turn(
                    repeats,
                    *calls,
                    lambda theirs=theirs, batch=batch: theirs(batch),
                    lambda quantized=quantized, batch=int8_batch: quantized(batch),
                )
                name = f"entailment, {family}-base, {classes} classes"
                for precision, mine in zip(ours, found, strict=True):
                    wanted = f">= {asked[precision, classes]}"
                    yield row(f"{name}, {precision}", count / mine, count / seconds, "texts/s", wanted)
                best = min(found)
                yield row(f"{name}, onnxruntime in int8", count / best, count / of_int8, "texts/s", ">= 1.2")


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
    """The stage `score` on tiny random models: cost of 1, 4 and 16 thousand texts, memory of 1 to 100."""
    from tests import tiny

    texts = [text for _, text in tiny.sentences(100_000)]
    template = {"plain": "Review: {text} It is {class}"}
    seconds = {}
    for count in (1_000, 4_000, 16_000):
        runs = [
            score_tiny(tiny.causal_model, "likelihood", template, texts[:: 100_000 // count])
            for _ in range(max(1, repeats * 1_000 // count))
        ]
        seconds[count] = statistics.median(taken for taken, _ in runs) / count * 1000
    dearest = max(seconds.values())
    yield row(
        "scoring 1,000, 4,000, 16,000 texts: the dearest against the cheapest thousand",
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


def largest(root, module, *words):
    """Runs a module in a folder; returns the largest resident set of its process in MiB.

    Read from /proc: what `getrusage` tells of a child counts the pages of the process it came from.
    """
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "status = open('/proc/self/status').read()\n"
        "print('largest', status.split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, module, *map(str, words)],
        cwd=root,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        raise UserError(f"{module}: must end well, found {result.stderr.strip()[-500:]}")
    return int(result.stderr.rpartition("largest ")[2]) // 1024


# ---------------------------------------------------------------------- the student


def training(repeats):
    """One epoch on 320 texts, against transformers' Trainer with all texts padded to the longest, float32."""
    import transformers
    from datasets import Dataset

    from nolabels.students import dataset
    from nolabels.students import training as train

    values = params.load()
    task, settings = values.task, values.train.model_copy(update={"epochs": 1})
    table = read_table("data/teacher_train.parquet").slice(values.sample.valid, 320)
    tokenizer = transformers.AutoTokenizer.from_pretrained("models/base")
    texts = table["text"].to_pylist()
    wanted = dataset.targets(table, task.labels, settings.targets)
    ids = dataset.encode(tokenizer, texts, settings.max_tokens)
    given = {"input_ids": ids, "labels": wanted.tolist(), "length": [len(row) for row in ids]}
    given, none = Dataset.from_dict(given), Dataset.from_dict({"input_ids": [], "labels": []})
    padded = tokenizer(texts, truncation=True, max_length=settings.max_tokens, padding=True)
    answers = Dataset.from_dict({**padded, "labels": wanted.argmax(1).tolist()})
    precision = models.pick_precision(settings.precision, "cpu")

    def ours():
        with tempfile.TemporaryDirectory() as folder:
            model = train.load_base("models/base", task, "cpu")
            train.fit(model, tokenizer, given, none, settings, "cpu", precision, folder)

    def plain():
        with tempfile.TemporaryDirectory() as folder:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                "models/base", num_labels=len(task.labels)
            )
            arguments = transformers.TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                logging_strategy="no",
            )
            trainer = transformers.Trainer(model=model, args=arguments, train_dataset=answers)
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()

    mine, peer = in_turn(repeats, ours, plain)
    yield row(f"training, {precision}", 320 / mine, 320 / peer, "texts/s", ">= 2.5")


def student(repeats):
    """The shipped student against the torch one, as `pipeline` runs it."""
    yield from shipped(repeats, "student", "models/student", "models/student-onnx", (6, 3.5))
    yield size_row("size of the shipped student", Path("models/student-onnx"), 120)


def size_row(name, folder, most):
    """Megabytes of a folder's files."""
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return row(name, size, None, "MB", f"<= {most}", size)


def small(repeats):
    """The same of a student of 22.7 M parameters with a new head, since the weights decide no time."""
    import transformers

    from nolabels.setup.presets import params_of
    from nolabels.students import training as train
    from stages.export import write_model

    values = params_of("reviews-small")
    base = tasks.model_of(values.fetch.models["encoder"])
    with tempfile.TemporaryDirectory() as folder:
        torch_form, onnx_form = Path(folder, "student"), Path(folder, "student-onnx")
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        tokenizer("", truncation=True, max_length=values.train.max_tokens)
        models.save_model(train.load_base(base, values.task, "cpu"), tokenizer, torch_form, "")
        write_model(torch_form, onnx_form, values.export.precision)
        yield from shipped(repeats, "small student", torch_form, onnx_form, (7, 4))
        yield size_row("size of the small shipped student", onnx_form, 30)
        yield against_teacher(repeats, "small student, ONNX, against the teacher, four templates", onnx_form)


def shipped(repeats, name, torch_form, onnx_form, asked):
    """An ONNX student against the torch one, whose texts are unsorted or sorted; asked: of both."""
    import transformers

    from nolabels.students.predict import Model

    texts = texts_of("test", None)
    model = Model(onnx_form)
    peer = transformers.pipeline("text-classification", model=str(torch_form), device="cpu")
    short = sorted_texts(texts)
    mine, *theirs = in_turn(
        repeats,
        lambda: model.predict(texts),
        lambda: peer(texts, batch_size=64, truncation=True),
        lambda: peer(short, batch_size=64, truncation=True),
    )
    for order, seconds, ratio in zip(("unsorted", "sorted"), theirs, asked, strict=True):
        count = len(texts)
        yield row(
            f"{name}, ONNX, against torch {order}", count / mine, count / seconds, "texts/s", f">= {ratio}"
        )


def against_teacher(repeats, name, onnx_form):
    """An ONNX student against the default teacher in `score`'s engine, which is asked about fewer texts."""
    from nolabels.students.predict import Model

    values = params.load()
    texts, few = texts_of("test", None), sorted_texts(texts_of("test", 64))
    model, asked = Model(onnx_form), values.score["teacher"]
    engine = teacher("likelihood", "models/teacher", models.pick_precision(asked.precision, "cpu"))
    mine, theirs = in_turn(
        repeats,
        lambda: model.predict(texts),
        lambda: engine.ask(few, asked.templates, values.task.words),
    )
    return row(name, len(texts) / mine, len(few) / theirs, "texts/s", ">= 12")


def classify(repeats):
    """The command on a csv of 100,000 rows against the student's own speed, and on one text."""
    import csv

    from nolabels.students.predict import Model

    texts = texts_of("pool", None) + texts_of("test", None)
    many = [f"{texts[n % len(texts)]} {n}" for n in range(100_000)]
    shipped = Model("models/student-onnx")
    with tempfile.TemporaryDirectory() as folder:
        path, one = Path(folder, "many.csv"), Path(folder, "one.txt")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([text] for text in many)
        one.write_text("A warm and funny film.\n", encoding="utf-8")

        def command(given):
            before = [sys.executable, "-m", "nolabels.classify", "models/student-onnx", str(given)]
            subprocess.run(before, check=True, stdout=subprocess.DEVNULL)

        # the student's own speed on a fifth of the rows, which are as long as the others
        rounds = [
            (clock(lambda: command(path)), clock(lambda: shipped.predict_proba(many[::5])) * 5)
            for _ in range(min(repeats, 3))
        ]
        seconds, own = (statistics.median(column) for column in zip(*rounds, strict=True))
        start = statistics.median(clock(lambda: command(one)) for _ in range(repeats))
        memory = largest(Path.cwd(), "nolabels.classify", "models/student-onnx", path)
    yield row("classify, a csv of 100,000 rows", len(many) / seconds, len(many) / own, "texts/s", ">= 0.85")
    yield row("memory of classify", memory, None, "MiB", "< 600", memory)
    yield row("classify, one text, process start included", start, None, "s", "< 1.0", start)


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


def reruns(repeats):
    """`dvc repro` where nothing has changed."""
    command = [sys.executable, "-m", "dvc", "repro", "-q"]
    seconds = statistics.median(clock(lambda: subprocess.run(command, check=True)) for _ in range(repeats))
    yield row("dvc repro, nothing to do", seconds, None, "s", "< 2", seconds)


PARTS = {
    part.__name__: part
    for part in (
        likelihood,
        entailment,
        similarity,
        linear,
        training,
        student,
        small,
        classify,
        workers,
        reruns,
    )
}


def is_short(one):
    """Whether a row misses what was asked: a bound of its ratio, such as ">= 5", or the exact number; flat: FLAT."""
    sign, bound = re.fullmatch(
        r"([<>]=?)? ?([\d.]+)", FLAT if one["asked"] == "flat" else one["asked"]
    ).groups()
    holds = {">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt, None: operator.eq}
    return not holds[sign](one["ratio"], float(bound))


def table(rows):
    """The rows as Markdown, and how many of them are short of what was asked."""
    short = sum(map(is_short, rows))
    lines = [
        f"{short} of {len(rows)} rows are short of what was asked of the ratio (flat: {FLAT}).",
        "",
        "| | ours | peer | unit | ratio | asked | |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        peer = "" if one["peer"] is None else f"{one['peer']:.4g}"
        lines.append(
            f"| {one['name']} | {one['ours']:.4g} | {peer} | {one['unit']} | {one['ratio']:.2f} | {one['asked']} | "
            f"{'**short**' if is_short(one) else ''} |"
        )
    return "\n".join(lines)


def by_processor(rows):
    """{processor: its rows}."""
    return {on: [one for one in rows if one["on"] == on] for on in dict.fromkeys(one["on"] for one in rows)}


def page(rows):
    """What benchmarks/speed.md holds."""
    names = ("torch", "transformers", "onnxruntime")
    lines = [
        "# Speed",
        "",
        "`python -m benchmarks.speed`, two threads; "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + ".",
        "Each side runs in turn; figures are medians. A row is of the processor that it was last measured on.",
    ]
    for on, some in by_processor(rows).items():
        lines += ["", f"## {on}", "", table(some)]
    return "\n".join(lines) + "\n"


NEEDS = {
    "likelihood": ["models/teacher", "data/test.parquet"],
    "entailment": ["data/pool.parquet", "data/test.parquet"],
    "similarity": ["models/base", "data/test.parquet"],
    "linear": [],
    "training": ["models/base", "data/teacher_train.parquet"],
    "student": ["models/student", "models/student-onnx", "data/test.parquet"],
    "small": ["data/test.parquet", "models/teacher"],
    "classify": ["models/student-onnx", "data/pool.parquet", "data/test.parquet"],
    "workers": ["models/teacher", "data/pool.parquet", "data/test.parquet"],
    "reruns": ["models/student-onnx"],
}


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--repeats", type=int, default=5, help="how often each side is run")
    args = parser.parse_args(argv)
    for path in (path for name in args.only for path in NEEDS[name]):
        if not Path(path).exists():
            raise UserError(f"{path}: must be there, found nothing; run dvc repro first")
    models.use_threads(params.load().runtime.threads)
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    for name in args.only:
        fresh = [{"part": name, **one, "on": processor()} for one in PARTS[name](args.repeats)]
        known = [one for one in known if one["part"] != name] + fresh
        known.sort(key=lambda one: list(PARTS).index(one["part"]))
        write_json(JSON, known)
        PAGE.write_text(page(known), encoding="utf-8")
        for one in fresh:
            say(
                f"{one['name']}: {one['ratio']:.2f} (asked {one['asked']}{', short' if is_short(one) else ''})"
            )


if __name__ == "__main__":
    run(main)
