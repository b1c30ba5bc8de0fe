"""Experiments compared and artifacts shared, the way DVC's users do it."""

import re
import sys

import pytest
import yaml

from tests import readme
from tests.workspace import stages_of

pytestmark = pytest.mark.slow
EVALUATE, METRICS = ["evaluate@dev", "evaluate@test"], ["metrics/dev.json", "metrics/test.json"]


def test_an_experiment_is_compared_with_the_committed_run(project):
    ran = stages_of(project.dvc("exp", "run", "-S", "train.epochs=2", "-S", "train.learning_rate=0.01"))
    assert sorted(ran) == [*EVALUATE, "export", "forecast", "report", "train"]
    header, *lines = project.dvc("metrics", "diff").strip().splitlines()
    assert header.split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    rows = {line.split()[1]: line.split() for line in lines if line.startswith("metrics/dev.json")}
    assert len(rows) >= 3, lines
    for _, _, before, after, change in (line.split() for line in lines):
        assert float(after) - float(before) == pytest.approx(float(change), abs=1e-3)
    assert {"agreement", "student.accuracy", "student.macro_f1", "difference.accuracy"} & set(rows)
    with project.params() as params:
        assert params["train"]["epochs"] == 2


def test_an_exponent_from_the_command_line_is_a_number(project):
    """DVC writes 2e-05, which YAML 1.1 reads as text."""
    project.dvc("exp", "run", "-S", "train.learning_rate=0.00002")
    assert re.search(r"learning_rate: '?2e-05", project.read("params.yaml").decode())
    assert project.repro() == []


def test_a_second_clone_pulls_everything_and_runs_nothing(project, tmp_path):
    remote = tmp_path / "remote"
    project.dvc("remote", "add", "-d", "shared", str(remote))
    project.git("commit", "-qam", "A remote")
    project.dvc("push")
    other = project.clone(tmp_path / "other")
    other.dvc("pull", online=False)
    assert "up to date" in other.dvc("status", online=False)
    assert other.repro(online=False) == []
    for name in ("data/labeled.parquet", "models/student/model.safetensors", "metrics/label.json"):
        assert other.read(name) == project.read(name)


def outs_of(project):
    """{path: checksum} of every cached file that dvc.lock names, folders as one."""
    stages = yaml.safe_load(project.read("dvc.lock"))["stages"].values()
    outs = [out for stage in stages for out in stage["outs"]]
    return {out["path"]: out["md5"] for out in outs if out["path"] not in METRICS}


@pytest.fixture
def s3():
    """An S3 server on loopback with an empty bucket; the environment in which DVC reaches it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    given = {name.lower().replace("aws_default_region", "region_name"): key for name, key in keys.items()}
    boto3.client("s3", endpoint_url=address, **given).create_bucket(Bucket="shared")
    yield address, keys
    server.stop()


@pytest.mark.thorough
def test_an_s3_server_shares_what_a_folder_shares(project, tmp_path, s3):
    address, keys = s3
    project.dvc("remote", "add", "-d", "shared", "s3://shared/reviews")
    project.dvc("remote", "modify", "shared", "endpointurl", address)
    project.git("commit", "-qam", "A remote")
    project.dvc("push", more=keys)
    other = project.clone(tmp_path / "other")
    other.dvc("pull", online=False, more=keys)
    assert "up to date" in other.dvc("status", online=False)
    assert other.repro(online=False) == []
    for path, checksum in outs_of(project).items():
        if not checksum.endswith(".dir"):
            assert other.read(path) == project.read(path), path
    assert outs_of(other) == outs_of(project)
    # the keys are in the environment alone
    written = [path for path in other.root.rglob("*") if path.is_file() and ".git/" not in str(path)]
    assert not any(
        b"secret" in path.read_bytes()
        for path in written
        if path.suffix in (".lock", ".json", ".yaml", ".md")
    )

    # runs made before: other parameters, nothing asked
    with project.params() as params:
        params["score"]["teacher"]["templates"] = params["score"]["teacher"]["templates"][:2]
    project.repro()
    project.dvc("push", "--run-cache", "-A", more=keys)
    (other.root / "params.yaml").write_bytes(project.read("params.yaml"))
    printed = other.dvc("repro", "--pull", online=False, more=keys)
    assert set(stages_of(printed)) <= set(EVALUATE)


@pytest.mark.thorough
def test_the_student_goes_to_other_repositories(project, tmp_path):
    """By path and by version: `dvc get`, `dvc import`, `dvc.api.open`, and `gto register`."""
    other = type(project)(tmp_path / "other", project.links)
    other.root.mkdir()
    other.git("init", "-q")
    other.dvc("init", "-q")
    weights = project.read("models/student-onnx/model.onnx")
    other.dvc("get", str(project.root), "models/student-onnx", "-o", "got")
    assert other.read("got/model.onnx") == weights and (other.root / "got/README.md").exists()
    other.dvc("import", str(project.root), "models/student-onnx/model.onnx", "-o", "model.onnx")
    assert other.read("model.onnx") == weights and (other.root / "model.onnx.dvc").exists()
    code = (
        "import dvc.api, sys\n"
        "with dvc.api.open('models/student-onnx/classes.json', repo=sys.argv[1]) as file: print(file.read())\n"
    )
    printed = other.run([sys.executable, "-c", code, str(project.root)]).stdout
    assert '"positive"' in printed

    registered = project.run(["gto", "register", "student", "--version", "v1.0.0"])
    assert registered.returncode == 0, registered.stdout
    assert project.git("tag").split() == ["student@v1.0.0"]
    with project.params() as params:
        params["train"]["epochs"] = 2
    project.repro()
    project.git("commit", "-qam", "Another student")
    assert project.read("models/student-onnx/model.onnx") != weights
    other.dvc("artifacts", "get", str(project.root), "student", "--rev", "v1.0.0", "-o", "first")
    assert other.read("first/model.onnx") == weights


@pytest.mark.thorough
def test_what_is_fetched_again_need_not_be_pushed(project, tmp_path):
    """The commands of docs/sharing.md: everything but the assets goes to the remote, and a colleague fetches those alone."""
    commands = re.search(r"```sh\n(dvc push \$.*?)```", readme.section("After a run"), flags=re.S)[1]
    first, second = (line.split("#")[0].strip() for line in commands.strip().splitlines())
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.git("commit", "-qam", "A remote")
    pushed = project.run(["bash", "-euo", "pipefail", "-c", first])
    assert pushed.returncode == 0, pushed.stdout
    other = project.clone(tmp_path / "other")
    pulled = other.run(["bash", "-euo", "pipefail", "-c", second])
    assert pulled.returncode == 0, pulled.stdout
    assert sorted(stages_of(pulled.stdout)) == ["fetch@base", "fetch@teacher", "fetch_dataset"]
    assert outs_of(other) == outs_of(project)
    assert other.read("models/student/model.safetensors") == project.read("models/student/model.safetensors")


def test_a_colleague_is_spared_a_run_that_was_made_before(project, tmp_path):
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.git("commit", "-qam", "A remote")
    with project.params() as params:
        params["score"]["teacher"]["templates"] = params["score"]["teacher"]["templates"][:2]
    project.repro()
    project.dvc("push", "--run-cache", "-A")
    made = project.read("data/scores/teacher/pool.parquet")

    other = project.clone(tmp_path / "other")
    (other.root / "params.yaml").write_bytes(project.read("params.yaml"))
    printed = other.dvc("repro", "--pull", online=False)
    assert set(stages_of(printed)) <= set(EVALUATE)  # its metrics lie in Git, so DVC cannot restore them
    assert other.read("data/scores/teacher/pool.parquet") == made
