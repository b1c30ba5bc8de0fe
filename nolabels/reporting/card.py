"""Model cards: the metadata that a hub reads at the head of one, and the card of the student in transformers' form."""

from nolabels.core.params import Asset, Dataset, Fetch, Learning, Parts, Report, Task

# our metric: the hub's metric type, and a name
HUB_METRICS = {"accuracy": ("accuracy", "accuracy"), "macro_f1": ("f1", "macro F1")}
TARGETS = {"soft": "the calibrated probabilities", "hard": "the likeliest class"}  # of train.targets


def front_matter(
    library: str,
    report: Report | None = None,
    fetch: Fetch | None = None,
    onnx: dict | None = None,
    texts: int = 0,
    base: Asset | None = None,
) -> str:
    """The metadata of a model card as YAML, as huggingface_hub's ModelCard.load reads it.

    Parameters
    ----------
    library : str
        The library that loads the model.
    report, fetch : Report and Fetch, optional
        Sections of Params; None where the stage does not read them.
    onnx : dict, optional
        Test metrics of the model, with `accuracy` and `macro_f1` in 0..1; None where the test has no gold.
    texts : int
        How many test texts have gold.
    base : Asset, optional
        The asset that was fine-tuned. The hub links to it, so it is named only where it is a repository of a hub.

    Returns
    -------
    str
        Without the lines `---` around it. What is not known is left out.
    """
    from huggingface_hub import ModelCardData

    base_hub, dataset = (getattr(asset, "hub", None) for asset in (base, fetch and fetch.dataset))
    data = ModelCardData(
        license=None if report is None else report.license,
        language=None if report is None else report.language,
        library_name=library,
        pipeline_tag="text-classification",
        tags=["text-classification", *(["onnx"] if library == "onnxruntime" else [])],
        base_model=base_hub,
        datasets=dataset and [dataset],
    )
    if onnx and fetch:
        data.metrics = [kind for kind, _ in HUB_METRICS.values()]
        data.model_name = "student"
        data.eval_results = _eval_results(onnx, texts, fetch.dataset)
    return data.to_yaml()


def _eval_results(onnx: dict, texts: int, dataset: Dataset) -> list:
    """Test metrics in the hub's form. onnx, texts: as in `front_matter`."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-classification",
            dataset_type=getattr(dataset, "hub", "own"),
            dataset_name=f"{texts} test texts of {asset_name(dataset)}",
            dataset_split="test",
            metric_type=kind,
            metric_name=name,
            metric_value=onnx[key],
        )
        for key, (kind, name) in HUB_METRICS.items()
    ]


def asset_name(asset: Asset | Dataset) -> str:
    """An asset of `fetch` by its source, with its revision or model."""
    if isinstance(asset, Parts):
        return f"{asset.parts[0].package}, first of {len(asset.parts)} parts"
    source = next(getattr(asset, key) for key in ("package", "hub", "endpoint", "own") if hasattr(asset, key))
    version = getattr(asset, "revision", None) or getattr(asset, "model", None)
    return f"{source}, {version}" if version else str(source)


def card_title(names: list[str]) -> str:
    """The heading of cards and page; names: the class names."""
    return (
        f"{' / '.join(names[:4])}{' …' if len(names) > 4 else ''}: a text classifier trained without labels"
    )


def student_card(task: Task, settings: Learning, texts: int, made: dict[str, str]) -> str:
    """The card of the student as transformers loads it: what `train` knows, and where its metrics are.

    Parameters
    ----------
    task : Task
    settings : Learning
        Section `train` of Params.
    texts : int
        How many texts it was trained on.
    made : dict of str to str
        Versions of the libraries, and the precision of the training.

    Returns
    -------
    str
        Markdown.
    """
    return f"""---
{front_matter("transformers")}
---
# {card_title(task.labels)}

A text classifier with the classes {", ".join(task.labels)}{"; a text may have several of them" if task.multi_label else ""}:

```python
from transformers import pipeline

pipeline("text-classification", model="models/student")("A text.")
```

## How it was made

Zero-shot teachers labeled texts. This model was trained on {texts:,} of them in {settings.epochs} epochs, with {TARGETS[settings.targets]} as
target. Teachers and texts are named under `fetch` in the project's `params.yaml`.
Made with {", ".join(f"{name} {version}" for name, version in made.items())}.

## How accurate it is

That was not known when this card was written. The accuracy on texts with human labels is in `metrics/test.json` and
`reports/index.html`, and in the card of the ONNX model (`models/student-onnx/README.md`).

## Limits

- It was trained on one kind of text. On other texts it may be much less accurate, with the same confidence.
- It has learned the systematic mistakes of its teachers.
- It reads the first {settings.max_tokens} tokens of a text and ignores the rest.
"""
