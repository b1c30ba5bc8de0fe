"""A real Label Studio from the package index, in an environment and on a port of its own."""

import os
import socket
import subprocess
import time
import venv

import requests

VERSION = "1.23.2"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


class LabelStudio:
    """Context manager: a server on loopback with SQLite. folder: of the environment, the data and the log."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        python = self.folder / "venv"
        venv.create(python, with_pip=True)
        command = [python / "bin/python", "-m", "pip", "install", "-q", f"label-studio=={VERSION}"]
        subprocess.run(command, check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        account = ["--username", "a@example.org", "--password", "not-a-secret", "--user-token", TOKEN]
        account += ["--enable-legacy-api-token", "--no-browser"]
        words = ["start", "--internal-host", "127.0.0.1", "--port", port, "--data-dir", self.folder / "data"]
        # it would ask the package index for its newest version, and report to its makers
        quiet = {
            "LATEST_VERSION_CHECK": "0",
            "COLLECT_ANALYTICS": "0",
            "SENTRY_DSN": "",
            "DJANGO_DB": "sqlite",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        self.log = self.folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python / "bin/label-studio", *words, *account],
                env=kept | quiet,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(30)

    def wait(self):
        """Until it answers; its first start makes the database, which takes a minute or more."""
        end = time.monotonic() + 900
        while True:
            try:
                requests.get(f"{self.url}/api/version", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(self.log.read_text()[-3000:]) from None
                time.sleep(1)

    def ask(self, method, path, given=None):
        """What its REST API answers. given: JSON to send."""
        head = {"Authorization": f"Token {TOKEN}"}
        answer = requests.request(method, f"{self.url}/api/{path}", headers=head, json=given, timeout=120)
        assert answer.ok, (path, answer.status_code, answer.text[:1000])
        return answer.json()
