"""Texts of several requests in one batch; and the figures of it, for Prometheus.

Each core answers a batch of its own. All cores on one batch would answer a single text sooner. But the model is read
from memory for each batch, which more cores do not make faster, so under load texts would wait longer.
"""

import asyncio
import contextlib
import itertools
import math
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import prometheus_client as prometheus

Model = Any  # of the folder's predict.py: classes_, multi_label, threshold, predict_proba(texts)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of batches, for their histogram


class Refused(Exception):
    """A request that is not answered: status is HTTP's, the message is for whoever asked."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def log_error(what: str) -> None:
    """A line on standard error; never what an exception says, which may hold a text."""
    print(f"error: {what}", file=sys.stderr, flush=True)


class Figures:
    """What /metrics tells."""

    def __init__(self, waiting):
        self.registry = own = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=own)
        self.requests = prometheus.Counter(
            "student_requests", "Requests by path and status", ["path", "status"], registry=own
        )
        self.errors = prometheus.Counter(
            "student_errors", "Requests that were refused", ["status"], registry=own
        )
        self.texts = prometheus.Counter("student_texts", "Texts that were answered", registry=own)
        self.seconds = prometheus.Histogram("student_request_seconds", "From request to answer", registry=own)
        self.sizes = prometheus.Histogram(
            "student_batch_texts", "Texts in a batch", buckets=SIZES, registry=own
        )
        self.batches = prometheus.Histogram(
            "student_batch_seconds", "The model's time for a batch", registry=own
        )
        gauge = prometheus.Gauge("student_waiting_texts", "Texts that wait for a batch", registry=own)
        gauge.set_function(waiting)


class Job:
    """The texts of one request; waits: the numbers of those that no batch has taken."""

    def __init__(self, texts: list[str], classes: int):
        self.texts, self.left, self.since = texts, len(texts), time.monotonic()
        self.waits = list(range(len(texts)))
        self.shares = np.zeros((len(texts), classes), np.float32)
        self.done = asyncio.get_running_loop().create_future()


class Batches:
    """Texts of several requests in one batch; limits: the command's arguments."""

    def __init__(self, model, limits):
        self.model, self.limits = model, limits
        self.jobs, self.waiting = [], 0
        self.woken, self.full = asyncio.Event(), asyncio.Event()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = limits.threads or cores
        self.threads = ThreadPoolExecutor(self.workers, "model")
        self.figures = Figures(lambda: self.waiting)

    async def answer(self, texts: list[str]) -> np.ndarray:
        """N x K probabilities. Raises Refused where too much waits already, or it takes too long."""
        if self.waiting + len(texts) > self.limits.max_waiting:
            rule = f"at most {self.limits.max_waiting} texts may wait, found {self.waiting}; ask again later"
            raise Refused(503, f"queue: {rule}")
        job = Job(texts, len(self.model.classes_))
        self.jobs.append(job)
        self.waiting += len(texts)
        self.woken.set()
        if self.waiting >= self.limits.max_batch:
            self.full.set()
        try:
            async with asyncio.timeout(self.limits.timeout):
                return await job.done
        except TimeoutError:
            rule = f"must be answered in {self.limits.timeout:g} s, found {job.left} of {len(texts)} texts not answered"
            raise Refused(504, f"request: {rule}") from None
        finally:  # nobody waits for the rest of it any more
            self.waiting -= len(job.waits)
            job.waits = []
            if job in self.jobs:
                self.jobs.remove(job)

    def take(self) -> list[tuple[Job, int]]:
        """Up to max_batch (job, number of its text), and no more than a core's share of all that wait.

        One of each request in turn, so that none waits for all of a larger one. Lengths are left to predict.py, which sorts
        the texts of a batch by them, and to the graph, which mostly computes padding in attention alone.
        """
        share = min(math.ceil(self.waiting / self.workers), self.limits.max_batch)
        turns = itertools.zip_longest(*(itertools.repeat(job, len(job.waits)) for job in self.jobs))
        counts = Counter(itertools.islice(filter(None, itertools.chain.from_iterable(turns)), share))
        taken = [(job, number) for job, count in counts.items() for number in job.waits[:count]]
        for job, count in counts.items():
            job.waits = job.waits[count:]
        # those that were passed over come first next time
        self.jobs = sorted((job for job in self.jobs if job.waits), key=counts.__contains__)
        self.waiting -= len(taken)
        if not self.jobs:
            self.woken.clear()
        return taken

    async def run(self) -> None:
        """Answers batches for ever, as many at a time as there are workers."""
        await asyncio.gather(*(self.work() for _ in range(self.workers)))

    async def work(self) -> None:
        """Answers batch after batch, for ever."""
        while True:
            await self.woken.wait()
            since = min((job.since for job in self.jobs), default=0)
            rest = since + self.limits.max_wait_ms / 1000 - time.monotonic()
            self.full.clear()
            if rest > 0 and self.waiting < self.limits.max_batch:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.full.wait(), rest)
            taken = self.take()
            if taken and not await self.give(taken):
                for job in {job for job, _ in taken}:  # what one request breaks is no matter of the others
                    await self.give([pair for pair in taken if pair[0] is job], last=True)

    async def give(self, taken: list[tuple[Job, int]], last: bool = False) -> bool:
        """Whether the model answered; then each request has its part. last: else the requests get an error."""
        started, loop = time.perf_counter(), asyncio.get_running_loop()
        texts = [job.texts[number] for job, number in taken]
        try:
            shares = await loop.run_in_executor(self.threads, self.model.predict_proba, texts)
        except Exception as error:
            log_error(f"the model failed ({type(error).__name__})")
            for job in {job for job, _ in taken} if last else ():
                if not job.done.done():
                    job.done.set_exception(Refused(500, "model: must answer, found that it failed"))
            return False
        self.figures.batches.observe(time.perf_counter() - started)
        self.figures.sizes.observe(len(taken))
        self.figures.texts.inc(len(taken))
        for (job, number), row in zip(taken, shares, strict=True):
            job.shares[number], job.left = row, job.left - 1
            if not job.left and not job.done.done():
                job.done.set_result(job.shares)
        return True
