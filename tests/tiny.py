"""Tiny models with random weights, and packages that hold them: what the tests fetch and run."""

import hashlib
import io
import random
import zipfile
from pathlib import Path

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GOOD = ["moving", "warm", "funny", "honest", "wonderful", "gripping", "lovely", "clever", "rich", "bright"]
BAD = ["dull", "empty", "tired", "clumsy", "awful", "boring", "flat", "stale", "noisy", "bleak"]
FILL = [
    "the",
    "film",
    "is",
    "a",
    "story",
    "of",
    "people",
    "who",
    "walk",
    "through",
    "an",
    "old",
    "town",
    "and",
    "talk",
    "about",
    "their",
    "lives",
]


def sentences(count, seed=0):
    """Distinct made-up reviews with a rating, -4 to 4: [(rating, text)]."""
    draw = random.Random(seed)
    found = {}
    while len(found) < count:
        words = draw.choices(FILL, k=draw.randint(3, 14))
        rating = draw.choice([-3.0, -1.5, 0.1, 1.5, 3.0])
        if rating:
            words.insert(draw.randrange(len(words)), draw.choice(GOOD if rating > 0 else BAD))
        found.setdefault(" ".join(words).capitalize() + f" {len(found)}.", rating)
    return [(rating, text) for text, rating in found.items()]


def byte_tokenizer(**special):
    """A byte-level BPE tokenizer trained on the made-up reviews."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [text for _, text in sentences(400)] + ["The sentiment is negative positive Review:"] * 20
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=CHAT,
        **special,
    )


def causal_model(folder, seed=0):
    """A two-layer Llama of random weights, with a chat form."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def base_model(folder, seed=0):
    """A two-layer BERT of random weights: a student's base."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def wheel(folder, name, version, files):
    """A wheel with the given files ({path inside: bytes}); returns its path and sha256."""
    about = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content)
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder, f"{name}-{version}-py3-none-any.whl")
    path.write_bytes(sink.getvalue())
    return path, hashlib.sha256(sink.getvalue()).hexdigest()
