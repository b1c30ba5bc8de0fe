"""Fine-tuning: the order of the batches, the rate of the head, and a head that is always new."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from nolabels.core import models, params
from nolabels.core.stage import UserError
from nolabels.students import trainer, training
from tests import tiny


def test_batches_hold_one_length_and_come_in_random_order():
    lengths = np.random.default_rng(0).integers(5, 60, 1030)
    order = trainer.shuffled_batches(lengths, 16, np.random.default_rng(1))
    assert sorted(order) == list(range(1030))
    batches = lengths[order][:1024].reshape(-1, 16)
    spread = (batches.max(1) - batches.min(1)).mean()
    assert spread < 3 < (lengths.max() - lengths.min()) / 4
    means = batches.mean(1)
    rising = (np.diff(means) > 0).mean()
    assert 0.3 < rising < 0.7  # sorted ones would give 0 or 1
    # texts of about one length are not always together
    other = trainer.shuffled_batches(lengths, 16, np.random.default_rng(2))
    assert {frozenset(row) for row in order[:1024].reshape(-1, 16)} != {
        frozenset(row) for row in other[:1024].reshape(-1, 16)
    }


@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_batches_of_few_texts(count):
    order = trainer.shuffled_batches(np.arange(count), 16, np.random.default_rng(0))
    assert sorted(order) == list(range(count))


@pytest.mark.parametrize("family", tiny.STUDENTS)
def test_the_head_learns_faster_and_biases_do_not_decay(tmp_path, family):
    folder = tiny.nli_model(tmp_path, family)
    model = training.load_base(folder, params.load().task, "cpu")
    settings = SimpleNamespace(learning_rate=1e-4, weight_decay=0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {name for name in names.values() if name.endswith("weight") and "norm" not in name.lower()}
    groups = trainer.parameter_groups(model, decayed, settings)
    seen = {}
    for group in groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = group["lr"], group["weight_decay"]
    assert set(seen) == set(names.values())
    prefix = f"{model.base_model_prefix}."
    assert {rate for name, (rate, _) in seen.items() if name.startswith(prefix)} == {1e-4}
    head = {name: found for name, found in seen.items() if not name.startswith(prefix)}
    assert {rate for rate, _ in head.values()} == {1e-3}
    assert (
        head["classifier.out_proj.bias" if "classifier.out_proj.bias" in head else "classifier.bias"][1] == 0
    )
    assert all(decay == (0.01 if name in decayed else 0) for name, (_, decay) in seen.items())


@pytest.mark.parametrize("labels", [("bad", "good"), ("a", "b", "c")], ids=["same size", "another size"])
def test_the_head_of_a_finished_classifier_is_made_anew(tmp_path, capsys, labels):
    folder = tiny.nli_model(tmp_path, "bert", labels)
    before = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    torch.manual_seed(7)
    model = training.load_base(folder, params.load().task, "cpu")
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.classifier.weight.shape[0] == 2
    if len(labels) == 2:
        assert not torch.equal(model.classifier.weight, before.classifier.weight)
    for (name, wanted), found in zip(before.bert.named_parameters(), model.bert.parameters(), strict=True):
        assert torch.equal(wanted, found), name
    assert (
        "is a classifier already (BertForSequenceClassification); its head is made anew"
        in capsys.readouterr().out
    )


def test_a_base_without_a_head_is_not_told(tmp_path, capsys):
    training.load_base(tiny.base_model(tmp_path), params.load().task, "cpu")
    assert capsys.readouterr().out == ""


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine that says it has two GPUs; the list of those that were made the current one."""
    import accelerate

    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    yield current
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("device", "chosen"), [("cuda:1", "cuda:1"), ("cuda", "cuda:0")])
def test_one_process_trains_on_the_gpu_that_was_asked_for(tmp_path, two_gpus, device, chosen):
    given = trainer.make_arguments(device)(output_dir=tmp_path, per_device_train_batch_size=16)
    assert given.device == torch.device(chosen) and two_gpus[-1] == torch.device(chosen)
    # with 2 the Trainer would wrap the model into DataParallel, and a step would be 32 texts
    assert given.n_gpu == 1 and given.train_batch_size == 16


def test_training_asks_for_its_own_device(tmp_path, two_gpus, monkeypatch):
    """What `fit` hands to the Trainer, up to the moment in which it would need a real GPU."""
    seen = []

    def stop(**kwargs):
        seen.append(kwargs["args"])
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "make_trainer", lambda: stop)
    model = training.load_base(tiny.base_model(tmp_path / "base"), params.load().task, "cpu")
    table, settings = [{}] * 40, params.load().train
    with pytest.raises(KeyboardInterrupt):
        training.fit(model, object(), table, [], settings, "cuda:1", "float32", tmp_path, callbacks=())
    (given,) = seen
    assert given.device == torch.device("cuda:1") and given.n_gpu == 1
    assert given.train_batch_size == settings.batch_size
    assert given.warmup_steps == round(settings.warmup * -(-40 // settings.batch_size) * settings.epochs)


def test_a_gpu_that_is_not_there_ends_in_one_line(two_gpus):
    assert models.pick_device("cuda:1") == "cuda:1"
    with pytest.raises(UserError, match=r"runtime\.device: must be below cuda:2, found 'cuda:2'"):
        models.pick_device("cuda:2")
