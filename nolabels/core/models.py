"""Model folders: their fingerprint, their size, where they run, how they are loaded, and by which versions."""

import hashlib
import json
import re
import shutil
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nolabels.core.gguf_files import gguf_file, read_once
from nolabels.core.memory import keep_freed_memory
from nolabels.core.stage import UserError, say

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PINNED = Path("requirements.txt")

# what decides a model's answers: weights, configuration, tokenizer
DECIDES = (".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja")
# how tables of absolute positions end in the models of transformers
POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's files."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.suffix in DECIDES:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def megabytes(folder: Path) -> float:
    """Size of the weights on disk, in 10^6 bytes."""
    weights = [path for path in Path(folder).iterdir() if path.suffix in (".safetensors", ".gguf", ".onnx")]
    return round(sum(path.stat().st_size for path in weights) / 1e6, 1)


def versions(*packages: str) -> dict[str, str]:
    """{package: version} of what is installed; a line says which are not those that requirements.txt pins.

    DVC does not see the environment, and an upgrade must not ask the teacher everything again. So versions
    are no dependency of a stage; they stand in the metadata of what it made.
    """
    installed = {package: version(package) for package in packages}
    text = PINNED.read_text(encoding="utf-8") if PINNED.exists() else ""
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", text, flags=re.M))
    others = [
        f"{package} {present} (pinned: {pinned[package]})"
        for package, present in installed.items()
        if package in pinned and present.partition("+")[0] != pinned[package]  # 2.13.0+cpu is 2.13.0
    ]
    if others:
        say(f"note: installed is {', '.join(others)}; results may differ from those of {PINNED}")
    return installed


def pick_device(wanted: str) -> str:
    """`runtime.device` as a torch device name; "auto" takes CUDA, then MPS, then the CPU. Raises UserError."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"params.yaml: runtime.device: must be there, found {wanted!r} but no CUDA device")
    if wanted.startswith("cuda:") and int(wanted[5:]) >= torch.cuda.device_count():
        raise UserError(
            f"params.yaml: runtime.device: must be below cuda:{torch.cuda.device_count()}, found {wanted!r}"
        )
    return wanted


def pick_precision(wanted: str, device: str) -> str:
    """The number format in which a model runs.

    Parameters
    ----------
    wanted : str
        What is not auto is given back. auto: bfloat16 where the device multiplies it natively, else float32. A CPU does
        with AVX-512 BF16, AMX or Arm BF16; elsewhere bfloat16 is emulated, and slower than float32.
    device : str
        A torch device name.

    Returns
    -------
    str
        float32, bfloat16 or what was wanted.
    """
    import torch

    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return (
            "bfloat16" if any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "float32"
        )
    return "float32"


def use_threads(threads: int) -> None:
    """Readies this process for long work: torch's threads, `runtime.threads` (0: torch's choice, the number of cores), and
    memory that is kept."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()


def load_model(
    folder: Path, head: str, *, device: str, precision: str
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Reads a model and its tokenizer from a folder, ready to answer.

    Weights come from safetensors or GGUF, never from a pickle, and no code of the folder runs.

    Parameters
    ----------
    folder : Path
        The model's folder.
    head : str
        The transformers task behind AutoModelFor, such as CausalLM; "" for no head.
    device : str
        A torch device name.
    precision : str
        float32 or bfloat16.

    Returns
    -------
    tuple of (PreTrainedModel, PreTrainedTokenizerBase)

    Raises
    ------
    UserError
        Where there is no such folder, or it holds several GGUF files.
    """
    import torch
    import transformers

    if not Path(folder).is_dir():
        raise UserError(f"{folder}: must be a folder with a model, found nothing")
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    weights = gguf_file(folder)
    # dense weights in one precision are several times faster than blocks unpacked at each product
    options: dict[str, Any] = (
        {"quantization_config": transformers.GgufConfig(gguf_file=weights, dequantize=True)}
        if weights
        else {"use_safetensors": True}
    )
    with read_once() if weights else nullcontext():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=weights)
        model = kind.from_pretrained(folder, gguf_file=weights, dtype=getattr(torch, precision), **options)
    if not getattr(model, "_keep_in_fp32_modules", None):
        _convert_parameters(model, getattr(torch, precision))
    return model.to(device).eval(), tokenizer


def _convert_parameters(model: "PreTrainedModel", dtype: "torch.dtype") -> None:
    """Some models make a part of their weights in float32 whatever is asked (the biases of DeBERTa's queries), and
    then fail in bfloat16. Buffers stay as they are."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def save_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, card: str
) -> None:
    """Writes a model folder (safetensors) that `load_model` reads, whole or not at all.

    Parameters
    ----------
    model, tokenizer : PreTrainedModel, PreTrainedTokenizerBase
        What to write.
    folder : Path
        Where to; what stood there is replaced.
    card : str
        The text of its README.md.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def max_input_tokens(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> float:
    """Tokens that a model reads at once, special ones included.

    The tokenizer's own limit counts, and the rows of a table of absolute positions. RoBERTa's positions
    begin behind the padding index and BART's at 2, so they have as many fewer; relative and rotary
    positions have no table.

    Parameters
    ----------
    model, tokenizer : PreTrainedModel, PreTrainedTokenizerBase
        A model and its tokenizer, as load_model gives them.

    Returns
    -------
    float
        A count, or infinity where nothing limits it.
    """
    import torch

    limit = tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else float("inf")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and name.endswith(POSITION_TABLES):
            unused = getattr(module, "offset", 0) or (
                0 if module.padding_idx is None else module.padding_idx + 1
            )
            limit = min(limit, module.num_embeddings - unused)
    return limit


def architectures(folder: Path) -> list[str]:
    """The classes that a model folder names, such as LlamaForCausalLM; a GGUF file is always causal.

    Raises UserError where there is neither config.json nor a GGUF file.
    """
    if gguf_file(folder):
        return ["GgufForCausalLM"]
    config = Path(folder, "config.json")
    if not config.exists():
        raise UserError(
            f"{folder}: must hold a config.json or a GGUF file, found {sorted(path.name for path in Path(folder).iterdir())}"
        )
    return json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
