"""Clients of a served student, for benchmarks.serving."""

import http.client
import itertools
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from nolabels.core.stage import UserError


class Client:
    """A connection that is kept."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, texts):
        """Status and JSON of a request for these texts."""
        given = {"text": texts[0]} if len(texts) == 1 else {"texts": texts}
        return self.send("POST", "/predict", json.dumps(given))

    def send(self, method, path, body=None):
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        content = answer.read()
        return answer.status, content


def carried(port, texts, clients, size):
    """As `alone`, of a server with so many clients, who each ask again once they are answered."""
    waiting = [texts[start : start + size] for start in range(0, len(texts), size)]

    def client(_):
        mine = Client(port)
        while True:
            try:
                some = waiting.pop()
            except IndexError:
                return
            status, content = mine.ask(some)
            if status != 200:
                raise UserError(
                    f"benchmark: each request must be answered, found status {status}: {content[:200]}"
                )

    started, used = time.perf_counter(), figure(port, "process_cpu_seconds_total")
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    seconds = time.perf_counter() - started
    return [len(texts) / seconds, len(texts) / (figure(port, "process_cpu_seconds_total") - used)]


def latencies(port, texts, rate, seconds):
    """Seconds from when each text was to be sent to its answer; texts arrive at random, `rate` a second."""
    draw, found, local = random.Random(0), [], threading.local()
    count = max(100, int(rate * seconds))

    def one(due, text):
        if not hasattr(local, "client"):
            local.client = Client(port)
        status, _ = local.client.ask([text])
        if status == 200:
            found.append(time.perf_counter() - due)

    with ThreadPoolExecutor(64) as pool:
        due = time.perf_counter() + 0.1
        for number in range(count):
            time.sleep(max(0, due - time.perf_counter()))
            pool.submit(one, due, texts[number % len(texts)])
            due += draw.expovariate(rate)
    if len(found) < count:
        raise UserError(f"benchmark: each of {count} texts must be answered, found {len(found)}")
    return np.array(found)


def figure(port, name):
    """One of the server's own figures."""
    text = Client(port).send("GET", "/metrics")[1].decode()
    families = text_string_to_metric_families(text)
    return next(sample.value for family in families for sample in family.samples if sample.name == name)


def endless(texts):
    """The texts for ever, each time with a number that makes them new; safe to share by threads."""
    lock, numbers = threading.Lock(), itertools.count()

    def following():
        with lock:
            number = next(numbers)
        return f"{texts[number % len(texts)]} {number}"

    return following
