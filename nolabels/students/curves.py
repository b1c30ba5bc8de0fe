"""The course of training: as it comes, and as a table."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import TrainerCallback

LOGGED = {"loss": "loss", "valid_loss": "eval_loss", "learning_rate": "learning_rate"}  # ours: the Trainer's


def live_callback(folder: Path) -> "TrainerCallback":
    """A callback of the Trainer that writes what it logs into a folder while it learns, with DVCLive.

    For people and for DVC's extension and Studio, which read such a folder; no out, so nothing depends on it.
    """
    import dvclive
    import transformers

    class LiveCallback(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            # dvc.yaml stays as it is, and what an experiment is stays with `dvc exp`
            self.live = dvclive.Live(str(folder), dvcyaml=None, save_dvc_exp=False)

        def on_log(self, args, state, control, logs=None, **kwargs):
            self.live.step = state.global_step
            for name, key in LOGGED.items():
                if key in logs:
                    self.live.log_metric(name, float(logs[key]))
            self.live.make_summary()

        def on_train_end(self, args, state, control, **kwargs):
            self.live.end()

    return LiveCallback()


def write_curve(path: Path, log: list[dict[str, Any]]) -> None:
    """Writes a csv of step, epoch, loss, valid_loss and learning_rate.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    log : list of dict
        As `training.fit` returns it: a line for each time something was logged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[int, dict[str, float | str]] = {}
    for entry in log:
        row = rows.setdefault(entry["step"], {"step": entry["step"], "epoch": round(entry["epoch"], 3)})
        for name, key in LOGGED.items():
            if key in entry:
                row[name] = f"{entry[key]:.6g}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["step", "epoch", *LOGGED], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows.values() if "loss" in row or "valid_loss" in row)
