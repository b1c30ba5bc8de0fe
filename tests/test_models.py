"""What is said of model folders and of the environment that made them."""

import pytest

from nolabels.core import models


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
