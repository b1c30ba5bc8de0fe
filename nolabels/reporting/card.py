"""Model cards: the fields that a hub reads at the head of one, and the card of the student as torch."""

FIGURES = {
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("f1", "macro F1"),
}  # ours: the hub's kind, and a name


def fields(library, report=None, fetch=None, onnx=None, texts=0, base=None):
    """The head of a card as YAML, as huggingface_hub's ModelCard.load reads it; what is not known is left out.

    library: what loads the model; report, fetch: sections of Params, None where the stage does not read them; onnx:
    the model's figures on the test, a dict with accuracy and macro_f1 in 0..1, None where nobody answered the test;
    texts: how many texts they are of; base: the asset that was fine-tuned. Repositories of a hub alone are named, since its fields link to them.
    """
    from huggingface_hub import EvalResult, ModelCardData

    base, dataset = (getattr(asset, "hub", None) for asset in (base, fetch and fetch.dataset))
    found = ModelCardData(
        license=report and report.license,
        language=report and report.language,
        library_name=library,
        pipeline_tag="text-classification",
        tags=["text-classification", *(["onnx"] if library == "onnxruntime" else [])],
        base_model=base,
        datasets=dataset and [dataset],
    )
    if onnx:
        found.metrics = [kind for kind, _ in FIGURES.values()]
        found.model_name = "student"
        found.eval_results = [
            EvalResult(
                task_type="text-classification",
                dataset_type=dataset or "own",
                dataset_name=f"{texts} test texts of {named(fetch.dataset)}",
                dataset_split="test",
                metric_type=kind,
                metric_name=name,
                metric_value=onnx[key],
            )
            for key, (kind, name) in FIGURES.items()
        ]
    return found.to_yaml()


def named(asset):
    """An asset of `fetch` in a few words."""
    place = next(getattr(asset, key) for key in ("package", "hub", "endpoint", "own") if hasattr(asset, key))
    more = getattr(asset, "revision", None) or getattr(asset, "model", None)
    return f"{place}, {more}" if more else str(place)


def of_student(task, settings, texts, made):
    """The card of the student as transformers loads it: what `train` knows, and where its figures stand.

    task, settings: sections of Params, the second `train`; texts: how many it learned from; made: {name: what}, the
    versions and the precision that made it.
    """
    learned = "the calibrated probabilities" if settings.targets == "soft" else "the likeliest class"
    return f"""---
{fields("transformers")}
---
# {" / ".join(task.labels[:4])}{" …" if len(task.labels) > 4 else ""}: a classifier without labels

A text classifier with the classes {", ".join(task.labels)}{", of which a text may have several" if task.multi_label else ""}:

```python
from transformers import pipeline

pipeline("text-classification", model="models/student")("A text.")
```

## How it was made

A zero-shot model labeled texts, and this one learned {learned} of {texts:,} of them in {settings.epochs} epochs. Which
models and texts these were stands under `fetch` in the project's `params.yaml`.
Made with {", ".join(f"{name} {what}" for name, what in made.items())}.

## How good it is

That was not known when this card was written. Figures on texts with answers of people are in `metrics/test.json` and
`reports/index.html`, and in the card of the model's ONNX form (`models/student-onnx/README.md`).

## Limits

- It knows the texts that it learned from and nothing else; on texts of another kind it may be much worse, and as sure.
- What the teacher takes wrongly, it has learned.
- Texts beyond {settings.max_tokens} tokens are cut.
"""
