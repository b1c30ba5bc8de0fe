"""What is said of model folders and of the environment that made them."""

from pathlib import Path

import gguf
import pytest

from nolabels.core import models, speed
from nolabels.core.stage import UserError
from tests import tiny


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ("torch==2.13.0\ntransformers==5.23.0\n", ""),
        (
            "torch==2.13.0\ntransformers==5.24.1\n",
            "note: installed is transformers 5.23.0 (pinned: 5.24.1); "
            "results may differ from those of requirements.txt\n",
        ),
        ("transformers>=5\n", ""),  # nothing is pinned
        (None, ""),
    ],
    ids=["as pinned", "another", "open", "no file"],
)
def test_another_version_than_the_pinned_one_is_said(tmp_path, monkeypatch, capsys, pinned, said):
    monkeypatch.chdir(tmp_path)
    if pinned:
        (tmp_path / "requirements.txt").write_text(pinned)
    installed = {"torch": "2.13.0+cpu", "transformers": "5.23.0"}
    monkeypatch.setattr(models, "version", installed.get)
    assert models.versions("torch", "transformers") == installed
    assert capsys.readouterr().out == said


def test_a_gguf_file_is_read_once(tmp_path, monkeypatch):
    embeddings = tiny.gguf_model(tmp_path / "model.gguf")
    read = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path, *more):
            read.append(path)
            super().__init__(path, *more)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    model, tokenizer = models.load_model(tmp_path, "CausalLM", device="cpu", precision="float32")
    assert len(read) == 1 and gguf.GGUFReader is Counted
    assert (model.get_input_embeddings().weight.detach().numpy() == embeddings).all()
    assert tokenizer("ab")["input_ids"][-1] == 10


def test_of_two_gguf_files_none_is_taken(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"must hold one GGUF file, found a\.gguf, b\.gguf"):
        models.load_model(tmp_path, "CausalLM", device="cpu", precision="float32")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("fpu avx2 avx512f avx512_bf16 amx_tile", "Big CPU, AMX"),
        ("fpu avx2 avx512f avx512_bf16", "Big CPU, AVX-512 BF16"),
        ("fpu avx2", "Big CPU, AVX2"),
        ("fpu", "Big CPU"),
    ],
)
def test_a_processor_is_named_with_its_products(monkeypatch, flags, named):
    lines = f"processor\t: 0\nmodel name\t: Big CPU\nflags\t\t: {flags}\n\n" * 2
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **options: lines)
    assert speed.processor() == named
