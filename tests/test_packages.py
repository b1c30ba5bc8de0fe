"""Archives that mean harm, or are broken: what is read of them, and what is refused in one line."""

import gzip
import io
import random
import re
import tarfile
import zipfile

import pytest

from nolabels import packages
from nolabels.stage import UserError

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
    return packages.read_member("package.tar.gz", content, path.split("!"), "fetch.dataset")


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
    "name": gzip.compress(long_name(3 * MIB)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(name, monkeypatch):
    monkeypatch.setattr(packages, "UNPACKED", MIB)
    taken = []
    plain = packages.Bounded.read

    def counted(self, count):
        content = plain(self, count)
        taken.append(len(content))
        return content

    monkeypatch.setattr(packages.Bounded, "read", counted)
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
