"""What a classical model learns from the same labels: TF-IDF and logistic regression of scikit-learn.

usage: python -m stages.baseline data/train.parquet data/test.parquet data/baseline_test.parquet
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels import params
from nolabels.labels import decide, from_column, to_column
from nolabels.stage import arguments, run, say
from nolabels.tables import fixed, predictions_schema, read_table, rounded, write_table


def fit_predict(texts, answers, weight, test_texts, task):
    """N x K probabilities of the test texts; a class without a text to learn from gets 0.

    answers: M x K bool; with several labels per text, one model for each class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # every run of characters between spaces may be a word: texts come in any script
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    known, unseen = vectorizer.fit_transform(texts), vectorizer.transform(test_texts)

    def learn(wanted, into):
        if len(set(wanted)) == 1:
            into[:, wanted[0]] = 1
        else:
            model = LogisticRegression(max_iter=1000).fit(known, wanted, sample_weight=weight)
            into[:, model.classes_] = model.predict_proba(unseen)

    if not task.multi_label:
        found = np.zeros((len(test_texts), answers.shape[1]))
        learn(answers.argmax(1), found)
        return found
    found = np.zeros((answers.shape[1], len(test_texts), 2))
    for number, held in enumerate(answers.T):
        learn(held.astype(int), found[number])
    return found[:, :, 1].T


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("table", type=Path, help="what to learn from")
    parser.add_argument("test", type=Path, help="test texts, without answers")
    parser.add_argument("predictions", type=Path, help="table to write")
    args = parser.parse_args(argv)
    task = params.load().task
    names = task.labels

    table, test = read_table(args.table), read_table(args.test, ["id", "text"])
    table = table.filter((pc.field("weight") > 0) & (pc.field("split") == "train"))
    predicted = fit_predict(
        table["text"].to_pylist(),
        from_column(table["labels"], names),
        table["weight"].to_numpy(),
        test["text"].to_pylist(),
        task,
    )
    columns = {
        "id": test["id"],
        "probabilities": fixed(rounded(predicted), np.float32),
        "labels": to_column(decide(predicted, task), names),
    }
    write_table(args.predictions, pa.table(columns, schema=predictions_schema(len(names))), classes=names)
    say(f"baseline: TF-IDF and logistic regression on {len(table)} texts")


if __name__ == "__main__":
    run(main)
