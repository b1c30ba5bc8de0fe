"""Model cards: the fields that a hub reads, of what is known alone."""

import pytest
from huggingface_hub import ModelCard

from nolabels.core import params
from nolabels.reporting import card

FIGURES = {"accuracy": 0.8658, "macro_f1": 0.8551, "ece": 0.01}


def head(text, tmp_path):
    """What huggingface_hub reads of a card's fields; it fails on a model-index that is none."""
    path = tmp_path / "README.md"
    path.write_text(f"---\n{text}\n---\n# A model\n", encoding="utf-8")
    return ModelCard.load(path).data


def test_the_test_s_figures_stand_in_the_fields(tmp_path):
    values = params.load()
    found = head(card.front_matter("onnxruntime", values.report, values.fetch, FIGURES, 872), tmp_path)
    assert (found.license, found.language, found.metrics) == ("apache-2.0", ["en"], ["accuracy", "f1"])
    assert (found.library_name, found.pipeline_tag) == ("onnxruntime", "text-classification")
    results = [
        (one.metric_type, one.metric_value, one.dataset_name, one.dataset_split) for one in found.eval_results
    ]
    place = "872 test texts of vaderSentiment==3.3.2"
    assert results == [("accuracy", 0.8658, place, "test"), ("f1", 0.8551, place, "test")]
    # packages are no repositories of a hub
    assert found.base_model is None and found.datasets is None


def test_repositories_of_a_hub_are_named(tmp_path):
    fetch = params.load().fetch
    base = params.HubModel(
        hub="google/electra-base-discriminator", revision="main", weights="pickle", files={}
    )
    dataset = params.HubDataset(
        hub="nyu-mll/glue",
        config="sst2",
        splits=params.Splits(pool="train", test="validation"),
        revision="main",
        files={},
    )
    fetch = fetch.model_copy(update={"dataset": dataset})
    found = head(card.front_matter("onnxruntime", params.load().report, fetch, FIGURES, 872, base), tmp_path)
    assert (found.base_model, found.datasets) == (base.hub, [dataset.hub])
    assert found.eval_results[0].dataset_type == dataset.hub


def test_what_is_not_known_is_left_out(tmp_path):
    values = params.load()
    report = values.report.model_copy(update={"license": None, "language": None})
    text = card.front_matter("onnxruntime", report, values.fetch)
    found = head(text, tmp_path)
    assert found.eval_results is None
    assert {line.split(":")[0] for line in text.splitlines() if not line.startswith("- ")} == {
        "library_name",
        "pipeline_tag",
        "tags",
    }


@pytest.mark.parametrize("several", [False, True])
def test_the_card_of_the_student_as_torch(tmp_path, several):
    values = params.load()
    task = values.task.model_copy(update={"multi_label": several})
    text = card.student_card(task, values.train, 1150, {"torch": "2.13.0", "precision": "float32"})
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert ModelCard.load(tmp_path / "README.md").data.library_name == "transformers"
    assert "the classes negative, positive" in text and "trained on 1,150 of them in 4 epochs" in text
    assert "torch 2.13.0, precision float32" in text and "the first 128 tokens of a text" in text
    assert ("a text may have several of them" in text) == several
