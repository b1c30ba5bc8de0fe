"""What goes wrong on real machines: interruptions, a full or read-only disk, two runs, a remote in trouble.

After each the next run ends as an undisturbed one, or one line says what to do. INTERRUPTIONS says how many
times `dvc repro` is interrupted (CONTRIBUTING: fifty).
"""

import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests import workspace
from tests.test_pipeline import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
INTERRUPTIONS = int(os.environ.get("INTERRUPTIONS", "5"))
# drawn, since what stands in this file stands in every copy of the project
SECRETS = {name: secrets.token_hex(20) for name in ("aws_access_key_id", "aws_secret_access_key")}
METRICS = [f"metrics/{name}.json" for name in ("sample", "label", "dev", "test", "forecast", "export")]


def figures(project):
    return {name: json.loads(project.read(name)) for name in METRICS}


@pytest.mark.timeout(600 + 60 * INTERRUPTIONS)
@pytest.mark.parametrize("half", [0, 1])  # one for each process of the tests
def test_interrupted_at_random_moments(tmp_path, index, half):
    """65 texts; SIGKILL, SIGTERM and Ctrl-C to all that runs, until as many runs were interrupted as asked."""
    wished = (INTERRUPTIONS + half) // 2
    small = workspace.Workspace.make(tmp_path / "small", index, pool=40, valid=10, test=10, dev=5)
    whole = small.copy(tmp_path / "whole")
    started = time.monotonic()
    whole.repro()
    longest, wanted, lock = time.monotonic() - started, figures(whole), whole.lock()
    draw, interrupted, asked, runs = random.Random(half), 0, 0, 0
    while interrupted < wished:
        project, runs = small.copy(tmp_path / f"run-{runs}"), runs + 1
        while True:
            path = tmp_path / "printed.txt"
            with path.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "dvc", "repro"],
                    cwd=project.root,
                    env=project.environment(),
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    process.wait(draw.uniform(0.5, longest / 2) if interrupted < wished else None)
                    ended = True
                except subprocess.TimeoutExpired:
                    sign = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
                    os.killpg(process.pid, sign)
                    process.wait(60)
                    ended = False
            printed = path.read_text()
            if (
                "dvc.lock' validation failed" in printed
            ):  # DVC died while it wrote it; docs/faults.md says what to do
                (project.root / "dvc.lock").unlink()
                continue
            asked += sum(map(int, re.findall(r"score: \w+: asked (\d+)", printed)))
            if ended:
                break
            interrupted += 1
            assert not re.search(r"^Traceback", printed, flags=re.M) or sign == signal.SIGINT, printed[-3000:]
        assert process.returncode == 0, printed[-3000:]
        assert figures(project) == wanted
        assert project.lock() == lock
        assert project.repro() == []
        shutil.rmtree(project.root)
    # texts of pool, dev and test, templates: what was answered to the end is not asked again, only a part in hand
    assert asked <= 65 * 4 * runs


FULL = """
set -u
mount -t tmpfs -o size=400m none "$1"
cp -a "$2/." "$1"
cd "$1"
while read -r name command; do
    {full}
    sh -c "$command" > "$3/$name.txt" 2>&1 < /dev/null
    echo "ended $?" >> "$3/$name.txt"
    {free}
done < "$3/commands"
"$4" -m dvc repro > "$3/repro" 2>&1
cp -a metrics dvc.lock "$3"
"""
DISKS = {
    "full": ("cat /dev/zero > filler 2> /dev/null; true", "rm -f filler", "No space left on device"),
    "read-only": ("mount -o remount,ro .", "mount -o remount,rw .", "Read-only file system"),
}


@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_takes_nothing(project, tmp_path, disk):
    """Every stage's script on a small file system of its own; afterwards `dvc repro` ends as before."""
    full, free, message = DISKS[disk]
    if project.run(["unshare", "--user", "--map-root-user", "--mount", "true"]).returncode:
        pytest.skip("needs namespaces of mounts")
    wanted, lock = figures(project), project.lock()
    out, mounted = tmp_path / "out", tmp_path / "mounted"
    out.mkdir()
    mounted.mkdir()
    commands = {name: definition["cmd"] for name, (_, definition) in STAGES.items() if "@1" not in name}
    (out / "commands").write_text("".join(f"{name} {command}\n" for name, command in commands.items()))
    script = FULL.replace("{full}", full).replace("{free}", free)
    words = [mounted, project.root, out, sys.executable]
    ended = project.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script, "bash", *map(str, words)]
    )
    assert ended.returncode == 0, ended.stdout
    for name in commands:
        printed = (out / f"{name}.txt").read_text()
        if (name, disk) == ("report", "full"):  # the new page takes the place that the old one had
            continue
        assert printed.endswith("ended 1\n"), (name, printed)
        (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
        assert message in line and "Traceback" not in printed, (name, printed)
    repro = (out / "repro").read_text()
    assert "ERROR" not in repro, repro[-3000:]
    assert {name: json.loads((out / name).read_text()) for name in METRICS} == wanted
    (project.root / "dvc.lock").write_bytes((out / "dvc.lock").read_bytes())
    assert project.lock() == lock


def test_of_two_runs_at_once_one_works_and_the_other_says_so(project):
    wanted = figures(project)
    project.forget("label")
    first, second = project.start("repro"), project.start("repro")
    printed = [process.communicate(timeout=300)[0] for process in (first, second)]
    codes = sorted((first.returncode, second.returncode))
    assert codes[0] == 0, printed
    if codes[1]:
        assert any("Unable to acquire lock" in text or "is busy" in text for text in printed), printed
    assert figures(project) == wanted and project.repro() == []


@pytest.fixture
def shaky():
    """An S3 server with a bucket that answers every second request, by chance, with 500; the environment for it."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner, draw, trouble = DomainDispatcherApplication(create_backend_app), random.Random(3), []

    def app(environ, respond):
        if trouble and draw.random() < 0.5:
            trouble.append(environ["PATH_INFO"])
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            respond("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        return inner(environ, respond)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = {name.upper(): value for name, value in SECRETS.items()}
    keys |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    boto3.client(
        "s3", endpoint_url=keys["AWS_ENDPOINT_URL"], region_name="us-east-1", **SECRETS
    ).create_bucket(Bucket="shared")
    trouble.append("begins")
    yield keys, trouble
    server.shutdown()


def until_it_works(project, *words, more, tries=12):
    """Again and again, as a person would; every failure says what failed, without a traceback."""
    for _ in range(tries):
        ended = project.run([sys.executable, "-m", "dvc", *words], more=more)
        if ended.returncode == 0:
            return ended.stdout
        assert "ERROR" in ended.stdout or "error:" in ended.stdout, ended.stdout
        assert "Traceback" not in ended.stdout, ended.stdout[-3000:]
    raise AssertionError(ended.stdout[-3000:])


def test_a_remote_that_answers_500_half_of_the_time(project, tmp_path, shaky):
    keys, trouble = shaky
    project.dvc("remote", "add", "-d", "shared", "s3://shared/reviews")
    project.dvc("remote", "modify", "shared", "endpointurl", keys["AWS_ENDPOINT_URL"])
    project.git("commit", "-qam", "A remote")
    until_it_works(project, "push", more=keys)
    other = project.clone(tmp_path / "other")
    until_it_works(other, "pull", more=keys)
    assert len(trouble) > 20
    assert other.repro(online=False) == [] and figures(other) == figures(project)


def test_a_store_that_answers_500_half_of_the_time(project, shaky):
    keys, trouble = shaky
    wanted = project.read("data/scores/teacher/pool.parquet")
    with project.params() as values:
        values["runtime"]["store"] = "s3://shared/answers"
    until_it_works(project, "repro", "-f", "-s", "score@teacher-pool", more=keys)
    assert project.read("data/scores/teacher/pool.parquet") == wanted
    assert len(trouble) > 3


def test_no_secret_of_the_environment_is_written_or_said(project, shaky):
    """A run with a store and a remote on S3 that fail half of the time, so that what they say of it is looked at too.

    (The hub's token and the endpoint's key: test_hub, test_endpoint.)
    """
    keys, _ = shaky
    secret = {name: secrets.token_hex(20) for name in ("HF_TOKEN", "NOLABELS_KEY")}
    project.dvc("remote", "add", "-d", "shared", "s3://shared/reviews")
    project.dvc("remote", "modify", "shared", "endpointurl", keys["AWS_ENDPOINT_URL"])
    with project.params() as values:
        values["runtime"]["store"] = "s3://shared/answers"
    said = [
        project.run([sys.executable, "-m", "dvc", *words], more=keys | secret).stdout
        for words in (["repro", "-f"], ["repro", "-v"], ["push"], ["push", "-v"], ["status", "-c"])
    ]
    said.append(project.run([sys.executable, "-m", "nolabels.answers"], more=keys | secret).stdout)
    wrong = {
        "AWS_SECRET_ACCESS_KEY": SECRETS["aws_secret_access_key"],
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    said.append(project.run([sys.executable, "-m", "dvc", "repro", "-f"], more=keys | secret | wrong).stdout)
    assert "must be reachable" in said[-1]
    values = [*SECRETS.values(), *secret.values()]
    for text in said:
        assert not any(value in text for value in values)
    for path in project.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(value.encode() in content for value in values), path
