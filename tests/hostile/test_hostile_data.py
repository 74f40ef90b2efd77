"""Damaged and malicious data files: one clear line, nothing executed, nothing huge allocated."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from workbench import datasets
from workbench.datasets import idx, images, npz, table
from workbench.errors import InputError
from workbench.model import Model, ModelFormat, TensorSpec


def model(shape=("b", 4), dtype="float32"):
    return Model(Path("m.onnx"), ModelFormat.ONNX, (TensorSpec("x", dtype, shape),),
                 (TensorSpec("y", "float32", ("b", 3)),), 0, 0, 0, "0" * 64, "m")


PICTURES = model((None, 8, 8, 3))


def refused(source, m=None, match="[a-z]", **more):
    """The message; it must be one short line."""
    with pytest.raises(InputError, match=match) as caught:
        datasets.load(source, m or model(), **more)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and "Traceback" not in message
    return message


def npy(array=None, *, header=None, magic=b"\x93NUMPY\x01\x00", body=b""):
    """Bytes of a .npy member, or one with a header of the caller's making."""
    if header is None:
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()
    text = header if isinstance(header, bytes) else header.encode()
    return magic + struct.pack("<H", len(text)) + text + body


def archive(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


# ---- .npz ----

class Bomb:
    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_pickled_arrays_are_never_opened(tmp_path):
    mark = tmp_path / "executed"
    np.savez(tmp_path / "p.npz", x=np.array([Bomb(mark)], dtype=object))
    refused(tmp_path / "p.npz", match="holds Python objects, which are never unpickled")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb(mark)))
    refused(tmp_path / "raw.npz", match="cannot be read")
    np.save(tmp_path / "p.npy", np.array([Bomb(mark)], dtype=object))
    refused(tmp_path / "p.npy", match="never unpickled")
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 3, 40, 0.5, 0.99])
def test_cut_files(tmp_path, keep):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(500, 4)))
    whole = path.read_bytes()
    path.write_bytes(whole[:int(keep * len(whole)) if isinstance(keep, float) else keep])
    refused(path, match="cannot be read")


def test_flipped_bytes_are_found_by_the_checksum(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((500, 4), np.float32))
    raw = bytearray(path.read_bytes())
    raw[3000] ^= 0xFF
    path.write_bytes(raw)
    refused(path, match="cannot be read")


def test_a_header_that_promises_terabytes_allocates_nothing(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }"
    path = archive(tmp_path / "d.npz", **{"x.npy": npy(header=header, body=b"\0" * 64)})
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, match="more than the file holds")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("header", [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2.5, 4), }",
    "{'descr': '<f4', 'fortran_order': 7, 'shape': (2, 4), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '<f4'}",
    "__import__('os').system('touch executed')",
    "(" * 3000,
    "{" + "'a': 1, " * 4000 + "}",
    "\0\0\0",
    "",
])
def test_strange_headers(tmp_path, header, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(archive(tmp_path / "d.npz", **{"x.npy": npy(header=header, body=b"\0" * 32)}))
    assert not (tmp_path / "executed").exists()


def test_unknown_npy_version(tmp_path):
    refused(archive(tmp_path / "d.npz", **{"x.npy": npy(header="{}", magic=b"\x93NUMPY\x09\x00")}), 
            match="cannot be read|version")


def test_a_decompression_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 2**20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((2**19, 4), np.float32))
    assert path.stat().st_size < 2**15
    refused(path, match="unpacks to .* GiB; at most")


@pytest.mark.parametrize("members,match", [
    ({}, "holds no arrays"),
    ({"readme.txt": b"hello"}, "is not an .npz file: it holds 'readme.txt'"),
    ({"../../x.npy": npy(np.zeros((4, 4)))}, ""),
    ({"x.npy": b"not an array"}, "cannot be read"),
])
def test_archives_that_are_no_npz(tmp_path, members, match):
    path = archive(tmp_path / "d.npz", **members)
    if match:
        refused(path, match=match)
    else:  # a strange name is only a name: nothing is extracted
        datasets.load(path, model())
    assert not (tmp_path.parent / "x.npy").exists()


def test_a_member_twice_and_thousands_of_members(tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            file.writestr("x.npy", npy(np.zeros((4, 4))))
    refused(tmp_path / "twice.npz", match="one of them twice")
    many = {f"a{i}.npy": b"" for i in range(1200)}
    refused(archive(tmp_path / "many.npz", zipfile.ZIP_STORED, **many), match="1,200 members")


def test_an_encrypted_archive(tmp_path):
    path = archive(tmp_path / "d.npz", zipfile.ZIP_STORED, **{"x.npy": npy(np.zeros((4, 4)))})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # 'encrypted' in the local header and in the directory
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    refused(path, match="cannot be read")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_one_line_or_harmless(tmp_path, data):
    path = tmp_path / "fuzz.npz"
    np.savez(path, x=np.arange(40, dtype=np.float32).reshape(10, 4), labels=np.zeros(10, np.int64))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[:data.draw(st.integers(len(raw) // 2, len(raw)))])
    try:
        datasets.load(path, model())
    except InputError as error:
        assert "\n" not in str(error)


# ---- paths ----

@pytest.mark.parametrize("source", ["", "no/such.npz", "a\0b.npz", "x" * 5000, "~nobody-here/d.npz"])
def test_paths_that_lead_nowhere(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(source)


def test_kinds_that_are_not_read(tmp_path):
    (tmp_path / "d.pkl").write_bytes(pickle.dumps([1]))
    refused(tmp_path / "d.pkl", match="of a kind that is not read: give .npz")
    (tmp_path / "secret.npz").write_bytes(b"x")
    (tmp_path / "secret.npz").chmod(0)
    refused(tmp_path / "secret.npz", match="cannot be read")


def test_a_calibration_path_that_is_missing(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((8, 4), np.float32))
    refused(tmp_path / "d.npz", calibration=tmp_path / "c.npz", match="c.npz")


# ---- CSV ----

@pytest.mark.parametrize("text,match", [
    (b"", "holds no samples"),
    (b"a,b,c,d\n", "holds no samples"),
    (b"1,2,3,4\n5,6,7,8\n", "has no header line"),
    (b"a,b,c,a\n1,2,3,4\n", "names a column twice"),
    (b"a,b,c,d\n1,2,3\n", "row 2 has 3 cells, the header 4"),
    (b"a,b,c,d\n1,2,x y,4\n", "row 2, column 'c': 'x y' is not a number"),
    (b"a,b,c,d\n1,2,,4\n", "row 2, column 'c': the cell is empty"),
    (b"a,b,c,d\n1,2,nan,4\n", "1 NaN"),
    (b"a,b,c\n1,2,3\n", "has 3 feature columns, input 'x' wants 4"),
    (b"a,b,c,d,label\n1,2,3,4,0.5\n", "label '0.5' is not a whole number"),
    (b"a,b,c,d,label\n1,2,3,4,\n", "the label is empty"),
    (b"a,b,c,d,label\n1,2,3,4,1e300\n", "is not a whole number"),
    (b"a,b,c,d,label\n1,2,3,4,nan\n", "is not a whole number"),
    (b"a,b,c,d,label\n1,2,3,4,7\n", "labels run from 7 to 7"),
    (b'a,b,c,d\n1,2,3,"4\n', "cannot be read as CSV"),
    (b"\xff\xfe\x00a,b", "cannot be read as CSV"),
    (b"a,b,c,d\n" + b"9" * 200_000 + b",2,3,4\n", "cannot be read as CSV"),
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "cannot be read as CSV"),
])
def test_strange_csv(tmp_path, text, match):
    (tmp_path / "d.csv").write_bytes(text)
    refused(tmp_path / "d.csv", match=match)


def test_a_huge_csv_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "MAX_BYTES", 10)
    (tmp_path / "d.csv").write_text("a,b,c,d\n1,2,3,4\n")
    refused(tmp_path / "d.csv", match="larger than")


def test_a_csv_cannot_fill_an_image(tmp_path):
    (tmp_path / "d.csv").write_text("a,b,c,d\n1,2,3,4\n")
    refused(tmp_path / "d.csv", PICTURES, match="cannot fill input 'x' of rank 4")


# ---- images ----

@pytest.fixture
def folder(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), 0).save(tmp_path / "set" / name / "0.png")
    return tmp_path / "set"


def test_files_that_are_no_images(folder):
    (folder / "ant" / "bad.png").write_text("not an image")
    refused(folder, PICTURES, match="bad.png is not an image that can be read")


def test_a_cut_image(folder):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    noise.save(folder / "ant" / "cut.jpg")
    whole = (folder / "ant" / "cut.jpg").read_bytes()
    (folder / "ant" / "cut.jpg").write_bytes(whole[:len(whole) // 2])
    refused(folder, PICTURES, match="cut.jpg is not an image that can be read")


def test_an_image_of_billions_of_pixels_is_not_decoded(folder):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    (folder / "ant" / "vast.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    refused(folder, PICTURES, match="vast.png")


@pytest.mark.parametrize("build,match", [
    (lambda f: [(f / "ant" / "0.png").rename(f / "note.txt"), (f / "bee" / "0.png").unlink()], "hold no images"),
    (lambda f: [(f / "bee" / "0.png").unlink(), (f / "bee").rmdir()], "one class folder only, 'ant'"),
    (lambda f: (f / "cow").mkdir(), "class folder 'cow' .* holds no images"),
    (lambda f: Image.new("L", (3, 3)).save(f / "stray.png"), "images beside class folders, e.g. stray.png"),
])
def test_folders_that_are_no_classes(folder, build, match):
    build(folder)
    refused(folder, PICTURES, match=match)


def test_an_empty_folder(tmp_path):
    refused(tmp_path, PICTURES, match="holds no images")


def test_more_classes_than_the_model_has(folder):
    for name in ("cow", "dog"):
        (folder / name).mkdir()
        Image.new("RGB", (9, 9), 0).save(folder / name / "0.png")
    refused(folder, PICTURES, match="labels run from|names 4 classes, the model has 3")


def test_images_for_a_model_without_an_image_input(folder):
    refused(folder, match="holds images, the model's input 'x' is float32")


def test_a_link_in_a_circle_ends(folder):
    (folder / "ant" / "loop").symlink_to(folder)
    assert len(datasets.load(folder, PICTURES).evaluation) == 2


def test_of_a_large_folder_a_part_is_read_and_said(folder, monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGES", 8)
    for i in range(20):
        Image.new("RGB", (9, 9), (i * 5, 0, 0)).save(folder / "bee" / f"{i}.png")
    data = datasets.load(folder, PICTURES)
    assert len(data.calibration) + len(data.evaluation) == 8
    assert any("8 of 21 images" in note for note in data.notes)


# ---- IDX ----

@pytest.mark.parametrize("raw", [b"", b"\0\0\x08\x03", b"\0\0\x0d\x01\0\0\0\1\0", b"\0\0\x08\x01\xff\xff\xff\xff12",
                                 b"PK\x03\x04 not this"])
def test_strange_idx(tmp_path, raw):
    (tmp_path / "d-ubyte").write_bytes(raw)
    with pytest.raises(InputError, match="d-ubyte"):
        idx.read(tmp_path / "d-ubyte")
    (tmp_path / "d-ubyte.gz").write_bytes(raw)
    with pytest.raises(InputError, match="d-ubyte.gz"):
        idx.read(tmp_path / "d-ubyte.gz")
