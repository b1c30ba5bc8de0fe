"""What a classical model learns from the same labels: TF-IDF and logistic regression of scikit-learn.

usage: python -m stages.baseline data/train.parquet data/test.parquet data/baseline_test.parquet
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
from nolabels.stage import arguments, run, say
from nolabels.tables import fixed, predictions_schema, read_table, rounded, write_table


def fit_predict(texts, answers, weight, test_texts, classes):
    """N x K probabilities of the test texts; a class without a text to learn from gets 0."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    found = np.zeros((len(test_texts), classes))
    if len(set(answers)) == 1:
        found[:, answers[0]] = 1
        return found
    # every run of characters between spaces may be a word: texts come in any script
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    model = make_pipeline(vectorizer, LogisticRegression(max_iter=1000))
    model.fit(texts, answers, logisticregression__sample_weight=weight)
    found[:, model.classes_] = model.predict_proba(test_texts)
    return found


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("table", type=Path, help="what to learn from")
    parser.add_argument("test", type=Path, help="test texts, without answers")
    parser.add_argument("predictions", type=Path, help="table to write")
    args = parser.parse_args(argv)
    names = params.load().task.names

    table, test = read_table(args.table), read_table(args.test, ["id", "text"])
    rows = [
        (text, names.index(labels[0]), weight)
        for text, labels, weight, split in zip(
            *(table[name].to_pylist() for name in ("text", "labels", "weight", "split")), strict=True
        )
        if weight > 0 and split == "train"
    ]
    texts, answers, weight = zip(*rows, strict=True)
    predicted = fit_predict(texts, answers, weight, test["text"].to_pylist(), len(names))
    columns = {
        "id": test["id"],
        "probabilities": fixed(rounded(predicted), np.float32),
        "labels": pa.array([[names[answer]] for answer in predicted.argmax(1)], pa.list_(pa.string())),
    }
    write_table(args.predictions, pa.table(columns, schema=predictions_schema(len(names))), classes=names)
    say(f"baseline: TF-IDF and logistic regression on {len(texts)} texts")


if __name__ == "__main__":
    run(main)
