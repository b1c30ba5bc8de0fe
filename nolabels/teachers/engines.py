"""Where a teacher answers: in this process, or in workers of Ray. An engine takes questions and yields answers.

All engines ask the same parts, so what they leave in the store is equal, byte for byte where teachers have the
same number of threads (a pass is larger with more of them, and sums in another order).
"""

import os
import re
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nolabels.core import models
from nolabels.core.params import Template
from nolabels.core.stage import UserError, say
from nolabels.teachers import kinds

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
    def count(self):
        """Texts x templates."""
        return len(self.texts) * len(self.templates)


def start(runtime, score, folder, **given):
    """The engine that runtime (params.Runtime) names; given: as kinds.load takes it, device and precision too.

    Raises UserError where the model is not of the stated kind, or Ray is not installed or not within reach.
    """
    if runtime.engine == "ray":
        return Ray(runtime.threads, score, folder, given)
    return Local(score, folder, given)


class Local:
    """One teacher in this process."""

    def __init__(self, score, folder, given):
        self.teacher = kinds.load(score, folder, **given)
        self.parameters = self.teacher.parameters

    def rate(self, question):
        """Texts x templates a second."""
        self.teacher.ask(question.texts[:1], question.templates, question.words)  # sets things up
        started = time.perf_counter()
        self.teacher.ask(question.texts, question.templates, question.words)
        return question.count / (time.perf_counter() - started)

    def answers(self, questions):
        """Yields (question, kinds.Answers) in the order of the questions."""
        for question in questions:
            yield question, self.teacher.ask(question.texts, question.templates, question.words)

    def close(self):
        pass


class Worker:
    """A teacher in a process of Ray's, which loads the weights once, when it is first asked."""

    def __init__(self, threads, score, folder, given):
        self.threads, self.made = threads, (score, folder, given)

    @cached_property
    def teacher(self):
        score, folder, given = self.made
        models.use_threads(self.threads)
        return kinds.load(score, folder, **given)

    def parameters(self):
        return self.teacher.parameters

    def ask(self, *question):
        return self.teacher.ask(*question)


class Ray:
    """A teacher on each GPU of the cluster, or, where there is none, one for every `threads` cores.

    The cluster is the one that RAY_ADDRESS names, or this machine. Its machines see the project's folder at the
    same path. A worker that is lost is started again, and what it had in hand is asked again.
    """

    def __init__(self, threads, score, folder, given):
        try:
            import ray
        except ImportError as error:
            raise UserError(
                "runtime.engine: ray needs the package ray, found none; pip install -r requirements-ray.txt"
            ) from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray = ray
        environment = {"PYTHONPATH": str(Path(__file__).parent.parent), "HF_HUB_OFFLINE": "1"}
        try:
            within_reach(os.environ.get("RAY_ADDRESS", ""))
            ray.init(
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": environment},
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"RAY_ADDRESS: must name a cluster within reach, found {os.environ.get('RAY_ADDRESS')}: {error}"
            ) from error
        whole = ray.cluster_resources()
        gpus = int(whole.get("GPU", 0)) if given["device"] == "cuda" else 0
        cores = [int(node["Resources"]["CPU"]) for node in ray.nodes() if node["Resources"].get("CPU")]
        threads = threads or min(cores)
        count = gpus or max(1, sum(found // threads for found in cores))
        say(f"score: {count} workers of Ray" + ("" if gpus else f", {threads} threads each"))
        made = ray.remote(Worker).options(
            num_cpus=0 if gpus else threads,
            num_gpus=1 if gpus else 0,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
        self.workers = [made.remote(threads, score, Path(folder).resolve(), given) for _ in range(count)]
        with self.told():
            self.parameters = ray.get([worker.parameters.remote() for worker in self.workers])[0]

    def rate(self, question):
        """Texts x templates a second, of all workers."""
        for texts in (question.texts[:1], question.texts):
            started = time.perf_counter()
            with self.told():
                self.ray.get(
                    [worker.ask.remote(texts, question.templates, question.words) for worker in self.workers]
                )
        return len(self.workers) * question.count / (time.perf_counter() - started)

    def answers(self, questions):
        """Yields (question, kinds.Answers) as they come."""
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
            with self.told():
                answers = self.ray.get(done)
            free.append(worker)
            yield question, answers

    @contextmanager
    def told(self):
        """Raises what a worker raised, and a line where it was lost once too often."""
        try:
            yield
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayActorError as error:
            raise UserError(
                f"runtime.engine: a worker of Ray must stay, found one lost {RESTARTS + 1} times; what was answered is "
                "kept, the next dvc repro goes on from there"
            ) from error

    def close(self):
        self.ray.shutdown()


def within_reach(address):
    """Raises OSError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    if found := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
        socket.create_connection((found[1], int(found[2])), timeout=10).close()
