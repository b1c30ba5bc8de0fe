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


def one_teacher(values):
    """A params file's values, changed: `teacher` is asked alone, and nothing is fetched but it and the base."""
    for names, kept in ((values["fetch"]["models"], ("teacher", "base")), (values["score"], ("teacher",))):
        for name in [name for name in names if name not in kept]:
            del names[name]
    return values


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


NLI = ("deberta", "deberta-v2", "roberta", "bart", "modernbert")


def pair_tokenizer(form):
    """A byte-level BPE tokenizer that joins pairs as BERT ("bert") or RoBERTa ("roberta") does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for _, text in sentences(300)] + ["This example is about."], trainer)
    pair = {"bert": "<s>:0 $A:0 </s>:0 $B:1 </s>:1", "roberta": "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0"}[form]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0 </s>:0", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"] if form == "bert" else ["input_ids", "attention_mask"]  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        mask_token="[MASK]",
        model_input_names=names,
        model_max_length=96,
    )


def nli_model(folder, family, labels=("contradiction", "neutral", "entailment"), seed=0):
    """A sequence classifier of random weights with the given labels: one of NLI, or a family of students."""
    import torch
    import transformers

    tokenizer = pair_tokenizer("bert" if family.startswith("deberta") else "roberta")
    torch.manual_seed(seed)
    common = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 104,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "id2label": dict(enumerate(labels)),
        "label2id": {name: number for number, name in enumerate(labels)},
    }
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    relative = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]}
    more = {
        "deberta": {**layers, **relative, "type_vocab_size": 2, "max_relative_positions": 64},
        "deberta-v2": {**layers, **relative, "type_vocab_size": 0, "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
        "roberta": {**layers, "type_vocab_size": 1},
        "bert": {**layers, "type_vocab_size": 2},
        "electra": {**layers, "embedding_size": 16},
        "mpnet": {**layers, "max_position_embeddings": 170},
        "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4},
        "bart": {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 2},
        "modernbert": {**layers, "cls_token_id": 0, "sep_token_id": 2, "global_attn_every_n_layers": 2, "local_attention": 16},
    }[family]  # fmt: skip
    config = transformers.AutoConfig.for_model(family, **{**common, **more})
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def causal_family(folder, family, seed=0, **more):
    """A causal model of random weights: llama, gpt2, gemma2 (capped logits, a window) or mamba."""
    import torch
    import transformers

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = {
        "llama": {**layers, "num_key_value_heads": 2, "max_position_embeddings": 512},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
        "gemma2": {**layers, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16, "final_logit_softcapping": 3.0, "max_position_embeddings": 512},
        "mistral": {**layers, "num_key_value_heads": 2, "sliding_window": 16, "max_position_embeddings": 512},
        "mamba": {"hidden_size": 32, "state_size": 4, "num_hidden_layers": 2},
    }[family]  # fmt: skip
    config = transformers.AutoConfig.for_model(family, **common, **{**shape, **more})
    model = transformers.AutoModelForCausalLM.from_config(config)
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "A_log" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def encoder(folder, pooling=None, dense=False, seed=0):
    """A two-layer BERT of random weights, with the files of sentence-transformers where `pooling` is given."""
    import json

    import safetensors.torch
    import torch
    from transformers import BertConfig, BertModel

    folder = Path(folder)
    tokenizer = pair_tokenizer("bert")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=96,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if pooling:
        steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
        (folder / "1_Pooling").mkdir()
        flags = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")}  # fmt: skip
        about = {"word_embedding_dimension": 32, **flags, "include_prompt": True}
        (folder / "1_Pooling/config.json").write_text(json.dumps(about))
        if dense:
            steps.append(("2_Dense", "Dense"))
            (folder / "2_Dense").mkdir()
            about = {"in_features": 32, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
            (folder / "2_Dense/config.json").write_text(json.dumps(about))
            weights = {"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}
            safetensors.torch.save_file(weights, folder / "2_Dense/model.safetensors")
        steps.append((f"{len(steps)}_Normalize", "Normalize"))
        modules = [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
            for number, (path, name) in enumerate(steps)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
    return folder


STUDENTS = ("bert", "electra", "roberta", "mpnet", "distilbert", "deberta", "deberta-v2", "modernbert")


def student(folder, family="bert", labels=("negative", "positive"), max_tokens=24, **config):
    """A student of random weights as `train` leaves it. config: more entries of its config.json."""
    import json

    from tokenizers import Tokenizer

    folder = nli_model(folder, family, labels)
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.save(str(path))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def gguf_model(path):
    """A causal model of two layers with random weights, as llama.cpp keeps models; returns its embeddings."""
    import gguf
    import numpy as np

    tokens = ["<s>", "</s>", *"abcdefgh", "ab", "Ġ"]
    draw, size, layers = np.random.default_rng(0), 16, 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_feed_forward_length(2 * size)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(size // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {"token_embd": (len(tokens), size), "output_norm": (size,)}
    for layer in range(layers):
        block = {f"attn_{name}": (size, size) for name in ("q", "k", "v", "output")}
        block |= {"ffn_gate": (2 * size, size), "ffn_up": (2 * size, size), "ffn_down": (size, 2 * size)}
        block |= {"attn_norm": (size,), "ffn_norm": (size,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    weights = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in weights.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights["token_embd"]
