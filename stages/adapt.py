"""Fine-tunes the teacher on the surest labels that it gave in the round before. Reads no gold.

Self-training of Gera et al. 2022 ("Zero-Shot Text Classification with Self-Training"): the labels are
those that `label` makes of the scores, the texts those of the pool's train split that the teacher is
surest of, class by class. What learns is the teacher as it came, in every round: a later round gets
better labels, not the weights of an earlier one with what it learned wrongly.

usage: python -m stages.adapt data/pool.parquet data/scores/0/pool.parquet models/teacher \\
           models/rounds/1 metrics/round_1.json
"""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import models, params, speed, teachers
from nolabels.calibration import fit_temperature, log_softmax
from nolabels.fitting import fit, mean, read_pool, read_temperature
from nolabels.labels import decide, margins, one_hot, surest
from nolabels.stage import arguments, progress, run, say
from nolabels.statistics import shares
from nolabels.tables import is_in_split, write_json

PASS_SCORES = 16  # scores (texts x classes) to a forward pass: bounds the memory, whatever the batch
VALID_TEXTS = 500  # texts of the valid split that the figures are made of; a pool stands in random order


def labels(scores, train, values, temperature=None):
    """What the round before says of N texts (N x T x K scores, N bool: which are of the train split).

    temperature: see fitting.fit. Returns the Fit, the likeliest class and the probabilities (each N x K
    float32, sum 1), which texts to learn from (N bool), and which are of a class at all (N bool; with
    task.reject some are of none).
    """
    task, classes = values.task, len(values.task.names)
    fitted = fit(scores[train], values, temperature)
    probabilities = fitted.probabilities(scores, task)
    answers = decide(probabilities, task)[:, :classes]
    known = answers.any(1)
    keep = surest(answers, margins(probabilities, task), train & known, values.adapt.coverage)
    hard, soft = (
        (given / given.sum(1, keepdims=True).clip(1e-9)).astype(np.float32)
        for given in (answers, probabilities[:, :classes])
    )
    return fitted, hard, soft, keep, known


def draws(texts, templates, settings):
    """For each step the texts (numbers below `texts`) and the number of the template.

    Each text comes once before any comes again; a template is drawn for each step.
    """
    random = np.random.default_rng(settings.seed)
    times = -(-settings.steps * settings.batch_size // texts)
    order = np.concatenate([random.permutation(texts) for _ in range(times)])
    for start in range(0, settings.steps * settings.batch_size, settings.batch_size):
        yield order[start : start + settings.batch_size], int(random.integers(templates))


def passes(rows, lengths, classes):
    """Cuts texts (numbers) into those of one forward pass, of about one length."""
    size = max(1, PASS_SCORES // classes)
    order = rows[np.argsort(lengths[rows], kind="stable")]
    return [order[start : start + size] for start in range(0, len(order), size)]


def learn(teacher, texts, wanted, score, words, settings, precision):
    """Trains the teacher's model in place on N texts and the classes to learn; the loss of each step.

    The loss is the cross-entropy of wanted (N x K) and the softmax over the classes' scores. AdamW
    without weight decay, since so few steps would move nothing by it.
    """
    import torch
    import transformers

    model, lengths = teacher.model, np.array([len(text) for text in texts])
    device = torch.device(teacher.device).type
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    rise = round(settings.warmup * settings.steps)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, rise, settings.steps)
    torch.manual_seed(settings.seed)  # of dropout
    model.train()
    losses = []
    with progress(settings.steps, "step") as bar:
        for rows, number in draws(len(texts), len(score.templates), settings):
            total = 0.0
            for some in passes(rows, lengths, len(words)):
                with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                    logits = teacher.logits([texts[row] for row in some], score.templates[number], words)
                right = torch.from_numpy(wanted[some]).to(logits.device)
                loss = -(right * logits.float().log_softmax(-1)).sum() / len(rows)
                loss.backward()
                total += loss.item()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(total)
            bar.update()
    model.eval()
    return losses


def figures(scores, wanted):
    """How uncalibrated answers (N x T x K scores) fit the labels (N x K): three numbers from 0.

    loss: the mean cross-entropy over texts and templates; agreement: share of texts whose likeliest
    class, in the mean of the templates' log-probabilities, is the label; confidence: its mean probability.
    """
    each = log_softmax(scores.astype(np.float64))
    together = np.exp(log_softmax(each.mean(1)))
    return {
        "loss": float(-(wanted[:, None] * each).sum(2).mean()),
        "agreement": float((together.argmax(1) == wanted.argmax(1)).mean()),
        "confidence": float(together.max(1).mean()),
    }


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts"),
        ("pool_scores", "the scores of the pool in the round before"),
        ("teacher", "folder of the teacher as it came"),
        ("adapted", "folder to write: the teacher of this round"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    score, words, settings = values.score, values.task.words, values.adapt

    import torch

    pool, scores = read_pool(args.pool, args.pool_scores, values.task, ["id", "text", "split"])
    train = is_in_split(pool, "train")
    before = labels(scores, train, values, read_temperature(args.pool_scores))
    fitted, hard, soft, keep, known = before
    wanted = hard if settings.targets == "hard" else soft
    valid = np.flatnonzero(is_in_split(pool, "valid") & known)[:VALID_TEXTS]

    models.versions("torch", "transformers")
    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    kept = models.pick_precision(score.precision, device)
    models.use_threads(values.runtime.threads)
    place = {"device": device, "served": None, "descriptions": {}}
    teacher = teachers.load(score, args.teacher, precision="float32", learns=True, **place)
    learned = teacher.excerpts(pool["text"].filter(pa.array(keep)).to_pylist())
    say(
        f"adapt: {len(learned)} of {int(train.sum())} texts to learn from, "
        f"{settings.steps} steps of {settings.batch_size} ({score.kind}, {precision}, {device})"
    )
    started = time.perf_counter()
    losses = learn(teacher, learned, wanted[keep], score, words, settings, precision)
    seconds = time.perf_counter() - started
    speed.record(
        f"adapt_{args.adapted.name}", settings.steps * settings.batch_size, seconds, steps=settings.steps
    )
    few = max(1, len(losses) // 10)
    say(
        f"adapt: {settings.steps} steps in {seconds:.0f} s, loss {np.mean(losses[:few]):.3f} -> "
        f"{np.mean(losses[-few:]):.3f}"
    )
    # in the precision that `score` reads it in: nothing is lost, and bfloat16 is half the size
    models.save(teacher.model.to(getattr(torch, kept)), teacher.tokenizer, args.adapted)

    answers = one_hot(wanted[keep].argmax(1), len(words))
    metrics = {"texts": len(learned), "shares": shares(answers, values.task.names)}
    if len(valid):
        adapted = teachers.load(score, args.adapted, precision=kept, **place)
        after = adapted.ask(pool["text"].take(valid).to_pylist(), score.templates, words).scores
        # before: the round before, whose calibrated answers the labels are; after: this one
        found = {"before": figures(scores[valid], wanted[valid]), "after": figures(after, wanted[valid])}
        metrics |= {name: {when: found[when][name] for when in found} for name in found["before"]}
        # it has learned to be sure: how sure it may be, the round before says of texts it has not learned
        metrics["temperature"] = fit_temperature(mean(after, fitted.weights), soft[valid], fitted.prior)
        write_json(args.adapted / models.TEMPERATURE, {"temperature": metrics["temperature"]})
    write_json(args.metrics, metrics)


if __name__ == "__main__":
    run(main)
