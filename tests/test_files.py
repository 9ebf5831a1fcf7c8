"""Files: whatever is wrong with one ends in a typed error that names it; what is written is whole or not there."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
import optim
from autodiff.core.errors import ArgumentError, AutodiffError
from autodiff.files import read_npz, replacing, write_npz
from nn.saving import load_file, save_file
from optim import datasets

ROOT = Path(__file__).parents[1]
POSIX = pytest.mark.skipif(os.name == "nt", reason="links without rights, modes and names of 255 bytes are POSIX's")
ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "b": np.arange(3, dtype=np.int32)}


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(_same(found[k], expected[k]) for k in expected)
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return np.array_equal(found, expected) and np.asarray(found).dtype == np.asarray(expected).dtype


def _batch() -> bytes:
    return pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}, protocol=2)


def _cifar_folder(path: Path) -> None:
    path.mkdir()
    for name in ("data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (path / name).write_bytes(_batch())
    (path / "data_batch_1").write_bytes(_batch())


def _cifar_archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(_batch())
            archive.addfile(info, io.BytesIO(_batch()))


def _idx() -> bytes:
    return b"\0\0\x08\x02" + struct.pack(">II", 2, 3) + bytes(range(6))


# What writes a file, which of its files is damaged, and what reads it.
READERS: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any]]] = {
    "npz": ("a.npz", lambda p: save_file(ARRAYS, p), load_file),
    "safetensors": ("a.safetensors", lambda p: save_file(ARRAYS, p), load_file),
    "checkpoint": ("a.npz", lambda p: optim.save_checkpoint(p, ARRAYS, {"step": 3}), optim.load_checkpoint),
    "set": ("a.npz", lambda p: np.savez(p, x=ARRAYS["w"], y=np.arange(2)), datasets.load_npz),
    "packed set": ("a.npz", lambda p: np.savez_compressed(p, x=ARRAYS["w"], y=np.arange(2)), datasets.load_npz),
    "idx": ("a.idx", lambda p: p.write_bytes(_idx()), datasets.read_idx),
    "packed idx": ("a.gz", lambda p: p.write_bytes(gzip.compress(_idx(), mtime=0)), datasets.read_idx),
    "cifar archive": ("a.tar.gz", _cifar_archive, datasets.load_cifar10),
}
# These hold no checksum of what a flipped byte may change.
UNSIGNED = {"idx", "cifar archive"}


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_ends_in_a_typed_error_that_names_it(
    reader: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, write, read = READERS[reader]
    path = tmp_path_factory.mktemp("files") / name
    write(path)
    whole = path.read_bytes()
    expected = read(path)

    @hypothesis.settings(max_examples=150)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        raw = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(whole) - 1))
            match data.draw(st.sampled_from("flip set cut swap insert huge".split())):
                case "flip":
                    raw[place % len(raw)] ^= 1 << data.draw(st.integers(0, 7))
                case "set":
                    raw[place % len(raw)] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
                case "cut":
                    del raw[max(1, place) :]
                case "swap":
                    raw[place : place + 9] = raw[place : place + 9][::-1]
                case "insert":
                    raw[place:place] = data.draw(st.sampled_from([b"[" * 3000, b"\0" * 99, b"PK\x03\x04", b"1<<2**9"]))
                case "huge":
                    raw[place : place + 8] = struct.pack("<Q", (1 << 62) + 1)
        path.write_bytes(raw)
        try:
            found = read(path)
        except AutodiffError as error:
            right = path.name in str(error)
        else:
            right = reader in UNSIGNED or _same(found, expected)
        assert right

    holds()


def _npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


HOSTILE = {
    "no Python": _npy("{'descr':1<<2**9"),
    "terabytes": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"),
    "negative": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"\0" * 8),
    "no shape": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': 'x', }"),
    "no dtype": _npy("{'descr': '<q9', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8),
    "nested": _npy("(" * 9000),
    "objects": _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([None])),
    "no magic": b"something else",
    "empty": b"",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("read", [load_file, optim.load_checkpoint, datasets.load_npz], ids=lambda f: f.__name__)
def test_a_hostile_member_of_an_archive(read: Callable[[Path], Any], what: str, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", HOSTILE[what])
    with pytest.raises(ArgumentError, match=r"m\.npz.*'x' cannot be read"):
        read(path)


def test_other_ways_to_be_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", kind) as archive:
            archive.writestr("x.npy", _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8))
        with pytest.raises(ArgumentError, match=r"m\.npz.*unknown kind"):
            load_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")
        archive.writestr("x", b"")
    with pytest.raises(ArgumentError, match=r"m\.npz.*'x'"):
        load_file(path)
    path.unlink()
    path.mkdir()
    for read in (load_file, optim.load_checkpoint, datasets.load_npz, datasets.read_idx):
        with pytest.raises(ArgumentError, match=r"m\.npz"):
            read(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_checksums_whose_name_is_damaged_are_missed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    save_file(ARRAYS, path)
    raw = path.read_bytes()
    assert raw.count(b"autodiff.sha256") >= 2
    for old in (b"autodiff.sha256.npy", b'"autodiff.sha256":'):
        raw = raw.replace(old, old.replace(b"sha", b"shb"))
    path.write_bytes(raw.replace(np.float64(5).tobytes(), np.float64(7).tobytes()))
    with pytest.raises(ArgumentError, match=rf"m\{suffix}"):
        load_file(path)


def test_a_checkpoint_holds_what_its_checksums_say(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    optim.save_checkpoint(path, ARRAYS, {"step": 3})
    with zipfile.ZipFile(path) as archive:
        members = {m: archive.read(m) for m in archive.namelist()}
        comment = archive.comment
    for altered, renamed in (("w.npy", ""), ("__meta__.npy", ""), ("w.npy", "autodiff.sha256.npy")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.comment = comment
            for m, content in members.items():
                raw = bytearray(content)
                raw[-1] ^= m == altered
                archive.writestr("other.npy" if m == renamed else m, bytes(raw))
        with pytest.raises(ArgumentError, match=r"c\.npz"):
            optim.load_checkpoint(path)


@pytest.mark.parametrize("make", [lambda n: gzip.compress(b"\0" * n, 9), lambda n: b"\1" * n], ids=["packed", "plain"])
def test_a_large_file_of_another_kind_is_not_read(make: Callable[[int], bytes], tmp_path: Path) -> None:
    path = tmp_path / "large.gz"
    path.write_bytes(make(64 << 20))
    tracemalloc.start()
    try:
        for read in (datasets.read_idx, datasets.load_npz, optim.load_checkpoint, datasets.load_cifar10):
            with pytest.raises(ArgumentError, match=r"large\.gz"):
                read(path)
        path = path.rename(tmp_path / "large.safetensors")
        with pytest.raises(ArgumentError, match=r"large\.safetensors"):
            load_file(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_safetensors_header_that_nests(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for text in (b"[" * 100000, b'{"a":' * 20000, b"{" + b" " * 30):
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        with pytest.raises(ArgumentError, match=r"m\.safetensors"):
            load_file(path)


def test_an_idx_file_with_more_axes_than_arrays_have(tmp_path: Path) -> None:
    path = tmp_path / "i.idx"
    path.write_bytes(b"\0\0\x08\xff" + struct.pack(">I", 1) * 255 + b"\1")
    with pytest.raises(ArgumentError, match=r"i\.idx.*255 axes"):
        datasets.read_idx(path)


@pytest.mark.parametrize(
    "batch",
    [
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": np.array(3)},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [[1], [2]]},
        {b"data": [1], 5: 6},
        {b"data": None, b"labels": None},
        [],
    ],
)
def test_a_batch_that_is_something_else_is_named(batch: Any, tmp_path: Path) -> None:
    _cifar_folder(tmp_path / "set")
    (tmp_path / "set" / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ArgumentError, match="data_batch_1"):
        datasets.load_cifar10(tmp_path / "set")


def test_a_batch_cut_anywhere_is_named(tmp_path: Path) -> None:
    _cifar_folder(tmp_path / "set")
    for size in (0, 1, 2, 50, 100, 150, 200, 3000, 6000, len(_batch()) - 1):
        (tmp_path / "set" / "data_batch_1").write_bytes(_batch()[:size])
        with pytest.raises(ArgumentError, match="data_batch_1"):
            datasets.load_cifar10(tmp_path / "set")


# --- writing


KILLED = """import os, signal, sys
from autodiff.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_what_a_killed_process_leaves_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    with replacing(path) as file:
        file.write(b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"new"


@POSIX
def test_a_symbolic_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "a.npz", tmp_path / "last.npz"
    link.symlink_to(target)
    for n in range(2):
        write_npz(link, {"n": np.array(n)})
        assert link.is_symlink()
        assert read_npz(target)["n"] == n
    loop = tmp_path / "loop.npz"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match=r"loop\.npz"):
        write_npz(loop, {})
    assert loop.is_symlink()


@POSIX
def test_a_file_keeps_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secret.npz"
    write_npz(path, {})
    path.chmod(0o600)
    write_npz(path, {"x": np.ones(2)})
    assert path.stat().st_mode & 0o777 == 0o600


def test_threads_that_write_one_file_leave_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def write(n: int) -> None:
        for _ in range(20):
            write_npz(path, {"x": np.full(1000, n)})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(read_npz(path)["x"].tolist())) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@POSIX
def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".npz")
    write_npz(path, {"x": np.ones(2)})
    assert read_npz(path)["x"].sum() == 2


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "autodiff.sha256"])
def test_names_that_an_archive_cannot_hold_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError):
        save_file({name: np.ones(2)}, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_everything_that_writes_makes_the_folder(tmp_path: Path) -> None:
    from autodiff.viz import draw, histograms

    draw(lambda x: x * x, 2.0).save(tmp_path / "one" / "g.dot")
    history = optim.History()
    history.to_csv(tmp_path / "two" / "h.csv")
    nn.save({"x": np.ones(2)}, tmp_path / "three" / "state.npz")
    pytest.importorskip("matplotlib")
    histograms({"x": np.arange(3.0)}, path=tmp_path / "four" / "h.png")
    assert all(next(folder.iterdir()).stat().st_size for folder in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 4


# --- commands


SCRIPT = """import autodiff as ad
def f(x): return (x * x).sum()
class thing: pass
"""
BAD = {
    "viz": [
        [],
        ["nothing"],
        ["s.py:"],
        ["s.py:g", "1.0"],
        ["s.py:thing.part", "1.0"],
        ["none.py:f", "1.0"],
        ["wrong.py:f", "1.0"],
        ["exits.py:f", "1.0"],
        ["no.such.module:f"],
        ["s.py:f"],
        ["s.py:f", "1 +"],
        ["s.py:f", "[[1], [2, 3]]"],
        ["s.py:f", "shape:ax3"],
        ["s.py:f", "shape:-2"],
        ["s.py:f", "shape:9999999x9999999"],
        ["s.py:f", "(" * 500],
        ["s.py:f", "1.0", "--boxes", "-1"],
        ["s.py:f", "1.0", "--depth", "x"],
        ["s.py:f", "1.0", "--rankdir", "UP"],
        ["s.py:f", "1.0", "--colour"],
        ["s.py:f", "1.0", "-o", "g.gif"],
        ["s.py:f", "1.0", "-o", "s.py/g.dot"],
    ],
    "testing": [
        ["no_such_op"],
        ["tanh", "--seed", "x"],
        ["tanh", "--seed", "-1"],
        ["--fast"],
        ["tanh", "--write", "."],
    ],
}


@pytest.mark.parametrize(("command", "arguments"), [(c, a) for c, cases in BAD.items() for a in cases])
def test_a_bad_argument_is_answered_in_one_line(
    command: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from importlib import import_module

    (tmp_path / "s.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        status = import_module(f"autodiff.{command}.__main__").main(arguments)
    except SystemExit as error:
        status = error.code
    said = capsys.readouterr()
    assert status == 2
    assert said.err.startswith((f"autodiff.{command}: ", f"python -m autodiff.{command}: "))
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert os.listdir(tmp_path).count("g.gif") == 0
