"""Parameters in files: what is written is read back bit for bit, torch reads it and is read, and no damaged file
changes a module.
"""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nn
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from nn.saving import load_file, save_file

SUFFIXES = [".safetensors", ".npz"]
pytest.importorskip("safetensors", reason="one of the two formats is safetensors")


def net(seed: int = 0) -> nn.Module:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(4, 3, generator=rng), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2, generator=rng))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return set(a) == set(b) and all(
        np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype and a[k].shape == b[k].shape for k in a
    )


def test_a_file_that_does_not_fit_a_module_is_named(tmp_path: Path) -> None:
    nn.save(nn.Linear(2, 3), tmp_path / "small.npz")
    for other, kind in ((nn.Linear(3, 2), ShapeError), (nn.Sequential(nn.Linear(2, 3)), ArgumentError)):
        with pytest.raises(kind, match=r"small\.npz"):
            nn.load(other, tmp_path / "small.npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_module_comes_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"net{suffix}"
    one, two = net(0), net(1)
    nn.save(one, path)
    assert nn.load(two, path) == ([], [])
    assert same(one.state_dict(), two.state_dict())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", ">f4", ">i8"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_any_arrays_come_back(suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    names = data.draw(
        st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1), max_size=3, unique=True)
    )
    arrays = {}
    for name in names:
        dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
        shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        array = data.draw(hnp.arrays(dtype, shape, elements={"allow_nan": False} if dtype.kind in "fc" else None))
        arrays[name] = array.T if data.draw(st.booleans()) else array
    path = tmp_path_factory.mktemp("arrays") / f"a{suffix}"
    save_file(arrays, path)
    assert same({k: v.astype(v.dtype.newbyteorder("=")) for k, v in arrays.items()}, load_file(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", [1, "__metadata__", "x" * 70_000, "\udcff"])
def test_a_name_that_no_file_gives_back_is_refused_before_it_is_written(name: Any, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be the name of a tensor"):
        nn.save({"fine": np.ones(1), name: np.ones(1)}, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_complex_numbers_of_double_precision_come_back_from_npz(tmp_path: Path) -> None:
    nn.save({"z": np.array([1 + 2j])}, tmp_path / "a.npz")
    np.testing.assert_array_equal(load_file(tmp_path / "a.npz")["z"], [1 + 2j])


def spoil(path: Path, name: str) -> None:
    """Change one number of a tensor and make the file whole again, as somebody who tampers would."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            members = {m: archive.read(m) for m in archive.namelist()}
        raw = bytearray(members[f"{name}.npy"])
        raw[-1] ^= 1
        with zipfile.ZipFile(path, "w") as archive:
            for m, content in members.items():
                archive.writestr(m, bytes(raw) if m == f"{name}.npy" else content)
        return
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    end = json.loads(data[8 : 8 + length])[name]["data_offsets"][1]
    data[8 + length + end - 1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_tampered_file_is_refused_by_the_tensors_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    module = net()
    before = module.state_dict()
    for name in before:
        nn.save(net(1), path)
        spoil(path, name)
        with pytest.raises(ArgumentError, match=f"the tensor '{name}'"):
            nn.load(module, path)
        assert same(module.state_dict(), before)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_refused_wherever_it_ends(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    module = net()
    before = module.state_dict()
    nn.save(net(1), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ArgumentError, match=str(path.name)):
            nn.load(module, path)
    assert same(module.state_dict(), before)


def test_a_truncated_safetensors_file_names_the_first_tensor_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"a": np.zeros(4), "b": np.zeros(4)}, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ArgumentError, match=r"within the tensor 'b'; it is truncated"):
        load_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_flipped_byte_is_noticed_or_harmless(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    arrays = {"w": np.arange(3.0), "b": np.arange(2)}
    save_file(arrays, path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 0x10
        path.write_bytes(data)
        try:
            found = load_file(path)
        except (ArgumentError, DTypeError):
            continue
        assert same(found, arrays), f"byte {position}"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_mismatch_names_the_tensor_and_leaves_the_module(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    module = net()
    before = module.state_dict()
    state = net(1).state_dict()
    save_file({**state, "3.weight": np.zeros((2, 4), np.float32)}, path)
    with pytest.raises(ShapeError, match=r"'3\.weight' has shape \(2, 4\), the module's has \(2, 3\)"):
        nn.load(module, path)
    save_file({**state, "3.weight": np.zeros((2, 3), np.complex64)}, path)
    with pytest.raises(DTypeError, match=r"'3\.weight' has dtype complex64"):
        nn.load(module, path)
    save_file({k: v for k, v in state.items() if k != "0.bias"}, path)
    with pytest.raises(ArgumentError, match=r"missing \['0\.bias'\]"):
        nn.load(module, path)
    assert same(module.state_dict(), before)
    assert nn.load(module, path, strict=False) == (["0.bias"], [])


def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match=r"'x' has dtype complex128"):
        save_file({"x": np.zeros(2, complex)}, tmp_path / "a.safetensors")
    with pytest.raises(DTypeError, match="'x' has dtype object"):
        save_file({"x": np.array([None])}, tmp_path / "a.npz")
    with pytest.raises(ArgumentError, match=r"must be one of \.safetensors, \.npz, got '\.pt'"):
        save_file({}, tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_pickles_in_an_npz_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(ArgumentError, match="the tensor 'x' cannot be read"):
        load_file(path)


def test_a_plain_npz_of_numpy_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(5.0))
    assert load_file(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2, 3, 4]


def test_torch_reads_ours_and_we_read_torchs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own reader")
    from safetensors.torch import load_file as torch_load
    from safetensors.torch import save_file as torch_save

    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    ours = net()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    torch_save(theirs.state_dict(), tmp_path / "theirs.safetensors")
    nn.load(ours, tmp_path / "theirs.safetensors")
    np.testing.assert_allclose(
        ours.eval()(x).data, theirs.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6
    )
    other = net(5)
    nn.save(other, tmp_path / "ours.safetensors")
    theirs.load_state_dict(torch_load(tmp_path / "ours.safetensors"))
    np.testing.assert_allclose(other.eval()(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_torchs_bfloat16_is_widened_and_float8_refused_by_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="NumPy has no bfloat16 to write")
    from safetensors.torch import save_file as torch_save

    values = torch.tensor([1.0, -3.1415926, 1e30, 0.0, float("inf")])
    torch_save({"w": values.to(torch.bfloat16)}, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.to(torch.bfloat16).float().numpy())
    torch_save({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(DTypeError, match="the tensor 'w' has dtype F8"):
        load_file(tmp_path / "a.safetensors")
