"""Where a teacher answers: in this process, or in workers of Ray. An engine takes questions and yields answers.

All engines ask the same parts, so what they leave in the store is equal, byte for byte where teachers have the
same number of threads (a pass is larger with more of them, and sums in another order).
"""

import logging
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nolabels.core import models
from nolabels.core.params import Runtime, Score, Template
from nolabels.core.stage import UserError, say
from nolabels.teachers import kinds
from nolabels.teachers.teacher import Answers, Teacher

AHEAD = 2  # questions that a worker has in hand: the one it answers, and the next
RESTARTS = 3  # of a worker that was lost; after that it is not the machine's fault


@dataclass(frozen=True)
class Question:
    """One part: numbers of the texts, the texts, and what is asked about each."""

    rows: np.ndarray
    texts: list[str]
    templates: list[Template]
    words: list[str]

    @property
    def count(self) -> int:
        """Texts x templates."""
        return len(self.texts) * len(self.templates)


class Local:
    """One teacher in this process."""

    def __init__(self, score: Score, folder: str | Path, given: dict[str, Any]):
        self.teacher = kinds.load_teacher(score, folder, **given)
        self.parameters = self.teacher.parameters

    def rate(self, question: Question) -> float:
        """Texts x templates a second."""
        self.teacher.ask(question.texts[:1], question.templates, question.words)  # sets things up
        started = time.perf_counter()
        self.teacher.ask(question.texts, question.templates, question.words)
        return question.count / (time.perf_counter() - started)

    def answers(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Answers]]:
        """Yields each question with its answers, in order."""
        for question in questions:
            yield question, self.teacher.ask(question.texts, question.templates, question.words)

    def close(self) -> None:
        """Does nothing: the teacher ends with the process."""


class Worker:
    """A teacher in a process of Ray's, which loads the weights once, when it is first asked."""

    def __init__(self, threads: int, score: Score, folder: Path, given: dict[str, Any]):
        self.threads, self.score, self.folder, self.given = threads, score, folder, given

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher of this process."""
        models.use_threads(self.threads)
        return kinds.load_teacher(self.score, self.folder, **self.given)

    def parameters(self) -> int | None:
        """How many numbers the teacher's model holds."""
        return self.teacher.parameters

    def ask(self, texts: list[str], templates: list[Template], words: list[str]) -> Answers:
        """See Teacher.ask."""
        return self.teacher.ask(texts, templates, words)


class Ray:
    """A teacher on each GPU of the cluster, or, where there is none, one for every `threads` cores.

    The cluster is the one that RAY_ADDRESS names, or this machine. Its machines see the project's folder at the
    same path. A worker that is lost is started again, and what it had in hand is asked again.
    """

    def __init__(self, threads: int, score: Score, folder: str | Path, given: dict[str, Any]):
        self.ray = _connect()
        gpus = int(self.ray.cluster_resources().get("GPU", 0)) if given["device"] == "cuda" else 0
        nodes = self.ray.nodes()
        cores = [int(node["Resources"]["CPU"]) for node in nodes if node["Resources"].get("CPU")]
        threads = threads or min(cores)
        count = gpus or max(1, sum(node_cores // threads for node_cores in cores))
        say(f"score: {count} workers of Ray" + ("" if gpus else f", {threads} threads each"))
        worker = self.ray.remote(Worker).options(
            num_cpus=0 if gpus else threads,
            num_gpus=1 if gpus else 0,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
        folder = Path(folder).resolve()
        self.workers = [worker.remote(threads, score, folder, given) for _ in range(count)]
        with self._errors_of_workers():
            self.parameters = self.ray.get([worker.parameters.remote() for worker in self.workers])[0]

    def rate(self, question: Question) -> float:
        """Texts x templates a second, of all workers."""
        for texts in (question.texts[:1], question.texts):
            started = time.perf_counter()
            with self._errors_of_workers():
                self.ray.get(
                    [worker.ask.remote(texts, question.templates, question.words) for worker in self.workers]
                )
        return len(self.workers) * question.count / (time.perf_counter() - started)

    def answers(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Answers]]:
        """Yields each question with its answers, as they come."""
        waiting, under_way = iter(questions), {}
        free = self.workers * AHEAD
        while True:
            while free and (question := next(waiting, None)) is not None:
                worker = free.pop(0)
                asked = worker.ask.remote(question.texts, question.templates, question.words)
                under_way[asked] = question, worker
            if not under_way:
                return
            (done,), _ = self.ray.wait(list(under_way))
            question, worker = under_way.pop(done)
            with self._errors_of_workers():
                answers = self.ray.get(done)
            free.append(worker)
            yield question, answers

    @contextmanager
    def _errors_of_workers(self):
        """Raises what a worker raised, and a line where a worker was lost once too often."""
        try:
            yield
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayActorError as error:
            raise UserError(
                f"runtime.engine: a worker of Ray must stay, found one lost {RESTARTS + 1} times; what was answered is "
                "kept, the next dvc repro goes on from there"
            ) from error

    def close(self) -> None:
        """Ends the workers."""
        self.ray.shutdown()


def _connect() -> ModuleType:
    """The module ray, connected to the cluster. Raises UserError where either is missing."""
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "runtime.engine: ray needs the package ray, found none; pip install -r requirements-ray.txt"
        ) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    root = str(Path(__file__).parents[2])
    try:
        _check_reachable(os.environ.get("RAY_ADDRESS", ""))
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}},
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"RAY_ADDRESS: must name a cluster within reach, found {os.environ.get('RAY_ADDRESS')}: {error}"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Raises OSError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    if match := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
        socket.create_connection((match[1], int(match[2])), timeout=10).close()


def start(runtime: Runtime, score: Score, folder: str | Path, **given: Any) -> Local | Ray:
    """The engine that the parameters name.

    Parameters
    ----------
    runtime : Runtime
        `runtime.engine` and `runtime.threads` are read.
    score : Score
        The teacher's settings.
    folder : path
        The folder of its model.
    **given
        The other arguments of kinds.load_teacher.

    Returns
    -------
    Local or Ray
        Both have parameters, rate, answers and close.

    Raises
    ------
    UserError
        Where the model is not of the stated kind, or Ray is not installed or not within reach.
    """
    if runtime.engine == "ray":
        return Ray(runtime.threads, score, folder, given)
    return Local(score, folder, given)
