"""Readers on small files in the true formats, byte for byte; damaged ones are refused by name."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError, ShapeError
from optim.datasets import load_cifar10, load_mnist, load_npz, load_sklearn, read_idx, split, standardize

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def python2_batch(pixels: np.ndarray, labels: list[int], name: str) -> bytes:
    """The pickle that Python 2 wrote: protocol 2, keys and pixels as byte strings,
    ``numpy.core.multiarray._reconstruct``.
    """

    def string(data: bytes) -> bytes:
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def number(n: int) -> bytes:
        return b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n)

    dtype = (
        b"cnumpy\ndtype\n" + string(b"u1") + number(0) + number(1) + b"\x87R" + b"(" + number(3) + string(b"|") + b"NNN"
    )
    dtype += b"J\xff\xff\xff\xff" * 2 + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + string(b"b") + b"\x87R"
    rows, columns = pixels.shape
    array += (
        b"(" + number(1) + number(rows) + number(columns) + b"\x86" + dtype + b"\x89" + string(pixels.tobytes()) + b"tb"
    )
    classes = b"](" + b"".join(map(number, labels)) + b"e"
    files = b"](" + b"".join(string(f"{i}.png".encode()) for i in range(rows)) + b"e"
    pairs = [(b"batch_label", string(name.encode())), (b"labels", classes), (b"data", array), (b"filenames", files)]
    return b"\x80\x02}(" + b"".join(string(key) + value for key, value in pairs) + b"u."


def pixels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)


def cifar(folder: Path, write: Any = python2_batch) -> dict[str, tuple[np.ndarray, list[int]]]:
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for i, name in enumerate(BATCHES):
        made[name] = pixels(3, i), [i, 9, 0]
        (folder / name).write_bytes(write(*made[name], name))
    return made


def python3_batch(data: np.ndarray, labels: list[int], name: str) -> bytes:
    return pickle.dumps({"batch_label": name, "labels": labels, "data": data}, protocol=2)


@pytest.mark.parametrize("write", [python2_batch, python3_batch])
@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_cifar10_from_its_folder(write: Any, inside: str, tmp_path: Path) -> None:
    made = cifar(tmp_path / inside, write)
    found = load_cifar10(tmp_path)
    x, y = found["train"]
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((15, 3, 32, 32), np.uint8, (15,), np.int64)
    np.testing.assert_array_equal(x.reshape(15, 3072), np.concatenate([made[name][0] for name in BATCHES[:5]]))
    assert y.tolist() == [c for name in BATCHES[:5] for c in made[name][1]]
    np.testing.assert_array_equal(found["test"][0][1, 2, 31, 31], made["test_batch"][0][1, -1])


def test_cifar10_from_its_archive(tmp_path: Path) -> None:
    cifar(tmp_path / "cifar-10-batches-py")
    expected = load_cifar10(tmp_path)
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    found = load_cifar10(path)
    for part in ("train", "test"):
        for a, b in zip(found[part], expected[part], strict=True):
            np.testing.assert_array_equal(a, b)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArgumentError, match="no whole archive"):
        load_cifar10(path)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch opened",)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cifar(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(ArgumentError, match=r"asks for (posix|nt)\.system"):
        load_cifar10(tmp_path)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({b"labels": [1]}, "has no 'data'"),
        ({b"data": pixels(1)}, "has no 'labels'"),
        ({b"data": pixels(2), b"labels": [1]}, "2 images and 1 labels"),
        ({b"data": pixels(1), b"labels": [10]}, "no classes 0 to 9"),
        ({b"data": pixels(1)[:, :5], b"labels": [1]}, r"uint8\[1, 5\]; expected uint8\[N, 3072\]"),
        ([1], "holds a list"),
    ],
)
def test_a_wrong_batch_is_named(batch: Any, words: str, tmp_path: Path) -> None:
    cifar(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ArgumentError, match=words) as info:
        load_cifar10(tmp_path)
    assert "test_batch" in str(info.value)


def test_a_truncated_or_missing_batch_is_named(tmp_path: Path) -> None:
    cifar(tmp_path)
    whole = (tmp_path / "data_batch_3").read_bytes()
    for size in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "data_batch_3").write_bytes(whole[:size])
        with pytest.raises(ArgumentError, match="data_batch_3 is truncated"):
            load_cifar10(tmp_path)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(ArgumentError, match="data_batch_3 is missing"):
        load_cifar10(tmp_path)
    with pytest.raises(ArgumentError, match="holds no test_batch"):
        load_cifar10(tmp_path / "..")
    with pytest.raises(FileNotFoundError):
        load_cifar10(tmp_path / "nowhere")


def idx(array: np.ndarray) -> bytes:
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    kind = array.dtype.newbyteorder("=").str[1:]
    head = bytes([0, 0, codes[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (4,), (2, 3, 4)])
def test_idx_of_every_type(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    for content in (idx(array), gzip.compress(idx(array))):
        (tmp_path / "a").write_bytes(content)
        found = read_idx(tmp_path / "a")
        assert found.dtype == array.dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, array)


def mnist(folder: Path, dot: str = "-", compress: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    made = {}
    for part, stem in (("train", "train"), ("test", "t10k")):
        made[part] = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8), rng.integers(0, 10, 5, dtype=np.uint8)
        for array, kind in zip(made[part], (f"images{dot}idx3-ubyte", f"labels{dot}idx1-ubyte"), strict=True):
            content = gzip.compress(idx(array)) if compress else idx(array)
            (folder / f"{stem}-{kind}{'.gz' if compress else ''}").write_bytes(content)
    return made


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_mnist(compress: bool, dot: str, tmp_path: Path) -> None:
    made = mnist(tmp_path, dot, compress)
    found = load_mnist(tmp_path)
    for part, (x, y) in made.items():
        np.testing.assert_array_equal(found[part][0], x)
        np.testing.assert_array_equal(found[part][1], y)
        assert found[part][1].dtype == np.int64


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    mnist(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ArgumentError, match="t10k-labels"):
            load_mnist(tmp_path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ArgumentError, match=r"says shape \(5,\) of uint8, 5 bytes, and has 6"):
        load_mnist(tmp_path)
    path.write_bytes(gzip.compress(whole)[:-3])
    with pytest.raises(ArgumentError, match="no whole gzip file"):
        load_mnist(tmp_path)
    path.write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(ArgumentError, match="5 test images and 4 labels"):
        load_mnist(tmp_path)
    path.unlink()
    with pytest.raises(ArgumentError, match=r"has none of t10k-labels-idx1-ubyte, .*\.gz"):
        load_mnist(tmp_path)


def test_an_idx_header_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x")
    with pytest.raises(ArgumentError, match="and has 1"):
        read_idx(tmp_path / "a")


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    x, y = np.ones((4, 2)), np.arange(4)
    np.savez(path, X_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    found = load_npz(path)
    assert {part: (a.shape, b.shape) for part, (a, b) in found.items()} == {
        "train": ((4, 2), (4,)),
        "test": ((1, 2), (1,)),
    }
    np.savez(path, x=x)
    with pytest.raises(ArgumentError, match="has 'x' without 'y'"):
        load_npz(path)
    np.savez(path, a=x)
    with pytest.raises(ArgumentError, match=r"it holds \['a'\]"):
        load_npz(path)
    np.savez(path, x=x, y=y[:3])
    with pytest.raises(ShapeError, match="one length"):
        load_npz(path)
    np.savez(path, x=np.array([{}], dtype=object), y=y[:1])
    with pytest.raises(ArgumentError, match="plain arrays"):
        load_npz(path)
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    for size in range(0, len(buffer.getvalue()), 13):
        path.write_bytes(buffer.getvalue()[:size])
        with pytest.raises(ArgumentError, match="no whole"):
            load_npz(path)


def test_sklearn() -> None:
    pytest.importorskip("sklearn", reason="its bundled sets are read")
    x, y = load_sklearn("iris")
    assert (x.shape, y.dtype) == ((150, 4), np.int64)
    assert load_sklearn("diabetes")[1].dtype == np.float64
    with pytest.raises(ArgumentError, match="there are breast_cancer"):
        load_sklearn("mnist")


def test_split_shares_nothing_and_keeps_pairs(rng: np.random.Generator) -> None:
    x = rng.normal(size=(101, 3))
    parts = split(x, x[:, 0], (0.5, 0.3, 0.2), 7)
    assert [len(a) for a, _ in parts] == [50, 31, 20]
    for a, b in parts:
        np.testing.assert_array_equal(a[:, 0], b)
    assert len(np.unique(np.concatenate([b for _, b in parts]))) == 101
    for wrong in ((0.5, 0.6), (0.0, 0.5), (0.001, 0.9)):
        with pytest.raises(ArgumentError, match="split"):
            split(x, x, wrong)
    with pytest.raises(ShapeError, match="one length"):
        split(x, x[:5], (1.0,))


def test_standardize_uses_the_training_part_alone(rng: np.random.Generator) -> None:
    train, test = rng.normal(3, 2, (50, 4)), rng.normal(0, 9, (20, 4))
    train[:, 1] = 7
    a, b = standardize(train, test, dtype=np.float64)
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(a.std(axis=0), [1, 0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(b[:, 0], (test[:, 0] - train[:, 0].mean()) / train[:, 0].std())
    assert standardize(train)[0].dtype == np.float32
