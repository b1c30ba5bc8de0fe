"""The part of benchmarks.speed about NLI teachers, on random weights of the real sizes."""

import tempfile
from pathlib import Path

from benchmarks import peers
from benchmarks.measuring import (
    fastest_batch,
    in_turn,
    precisions,
    row,
    sorted_texts,
    teacher,
    texts_of,
)
from nolabels.core import params

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


TEMPLATE = params.Template(hypothesis="This example is about {class}.")
ASKED = {
    ("bfloat16", 2): 4,
    ("bfloat16", 10): 3,
    ("float32", 2): 1.4,
    ("float32", 10): 1.1,
    ("int8", 2): 4,
    ("int8", 10): 3,
}
TOPICS = ["politics", "sport", "business", "science", "health", "travel", "food", "music", "film", "weather"]


def make_tokenizer(family):
    """A tokenizer learned from the pool's texts, that joins text and hypothesis as the family does."""
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
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("bos_token", "pad_token", "eos_token", "mask_token"), special, strict=True)),
        cls_token="<s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
    )


def write_model(folder, family):
    """A model of random weights in a base model's size, and its tokenizer."""
    import torch
    import transformers

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
    make_tokenizer(family).save_pretrained(folder)


def entailment(repeats):
    """Models of DeBERTa-base's and RoBERTa-base's size against transformers' own pipeline, and onnxruntime in int8."""
    import torch
    import transformers

    for family in NLI:
        with tempfile.TemporaryDirectory() as folder:
            write_model(folder, family)
            peer = transformers.pipeline("zero-shot-classification", model=folder, device="cpu")
            int8 = peers.onnx_int8(peer.model, Path(folder), torch.get_num_threads())
            ours = {
                precision: teacher("entailment", folder, precision, templates=[TEMPLATE])
                for precision in [*precisions(), "int8"]
            }
            ours["int8"].compared = True  # labels of random weights are ties, which any rounding breaks
            for classes, count in ((2, 64), (10, 20)):
                name = f"entailment, {family}-base, {classes} classes"
                yield from compared(
                    repeats, name, ours, peer, int8, texts_of("test", count), TOPICS[:classes]
                )


def compared(repeats, name, ours, peer, int8, texts, names):
    """The rows of one model and number of classes. ours: {precision: teacher}; int8: as peers.onnx_int8 makes it."""

    def theirs(batch):
        hypothesis = TEMPLATE.hypothesis.replace("{class}", "{}")
        peer(texts, candidate_labels=names, hypothesis_template=hypothesis, batch_size=batch)

    pairs = [(text, TEMPLATE.hypothesis.replace("{class}", name)) for text in texts for name in names]

    def quantized(batch):
        for start in range(0, len(pairs), batch):
            int8(peer.tokenizer(pairs[start : start + batch], padding=True, return_tensors="np"))

    batch, int8_batch, short = fastest_batch(theirs), fastest_batch(quantized), sorted_texts(texts)
    *found, seconds, of_int8 = in_turn(
        repeats,
        *(lambda one=one: one.ask(short, [TEMPLATE], names) for one in ours.values()),
        lambda: theirs(batch),
        lambda: quantized(int8_batch),
    )
    count = len(texts)
    for precision, mine in zip(ours, found, strict=True):
        wanted = f">= {ASKED[precision, len(names)]}"
        yield row(f"{name}, {precision}", count / mine, count / seconds, "texts/s", wanted)
    yield row(f"{name}, onnxruntime in int8", count / min(found), count / of_int8, "texts/s", ">= 1.2")
