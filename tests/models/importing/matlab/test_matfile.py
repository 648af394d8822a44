"""MATLAB's files, read as values; both formats against one another and against SciPy."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from agns.errors import WeightsError
from agns.models.importing import matvalues
from agns.models.importing.matfile import is_mat, load_mat
from agns.models.importing.matvalues import Opaque

Write = Callable[..., Path]
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


@pytest.fixture
def values(
    cell: Callable[..., np.ndarray], structs: Callable[..., np.ndarray]
) -> dict[str, object]:
    """Of every kind that weights come in."""
    filters = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return {
        "filters": filters,
        "text": "Zoë, 2 m",
        "cells": cell(filters, "a", cell(np.float64(3)), cell()),
        "net": {"layers": cell({"type": "conv"}, {"type": "relu"}), "meta": {"size": 7.0}},
        "params": structs([{"name": "w", "value": filters}, {"name": "b", "value": 1.0}]),
        "nothing": np.zeros((0, 0)),
    }


def test_both_formats_come_to_the_same_values(
    tmp_path: Path, write_mat: Write, values: dict[str, object]
) -> None:
    path = write_mat(tmp_path / "a.mat", values)
    assert is_mat(path)
    read = load_mat(path).variables
    filters = values["filters"]
    assert set(read) == set(values)
    np.testing.assert_array_equal(read["filters"], filters)
    assert read["text"] == "Zoë, 2 m"
    first, text, inner, empty = read["cells"]
    np.testing.assert_array_equal(first, filters)
    assert (text, float(inner[0].item()), list(empty)) == ("a", 3, [])
    net = read["net"]
    assert [layer["type"] for layer in net["layers"]] == ["conv", "relu"]
    assert net["meta"]["size"].item() == 7
    assert [entry["name"] for entry in read["params"]] == ["w", "b"]
    np.testing.assert_array_equal(read["params"][0]["value"], filters)
    assert read["nothing"].size == 0


def test_cells_come_in_matlabs_order(tmp_path: Path, write_mat: Write) -> None:
    grid = np.empty((2, 3), dtype=object)
    for at in np.ndindex(2, 3):
        grid[at] = f"{at[0]}{at[1]}"
    path = write_mat(tmp_path / "a.mat", {"grid": grid})
    assert load_mat(path).variables["grid"] == ["00", "10", "01", "11", "02", "12"]


def test_the_format_7_3_is_known_without_its_header(
    tmp_path: Path, write_mat73: Write, values: dict[str, object]
) -> None:
    path = write_mat73(tmp_path / "a.mat", values, header=False)
    assert is_mat(path)
    assert load_mat(path).variables["text"] == "Zoë, 2 m"
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["kernel"] = np.zeros(3)
    assert not is_mat(tmp_path / "other.h5")


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", HEADER[:100], b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_mat_file_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    assert not is_mat(path)
    assert not is_mat(tmp_path)
    with pytest.raises(WeightsError, match=r"no \.mat file"):
        load_mat(path)


def test_what_an_object_was_saved_as_is_found(tmp_path: Path, write_object: Write) -> None:
    path = write_object(tmp_path / "a.mat", "net", "dagnn.DagNN", {"layers": "here"})
    read = load_mat(path)
    assert isinstance(read.variables["net"], Opaque)
    assert read.variables["net"].name == "dagnn.DagNN"
    assert [saved for saved in read.objects if isinstance(saved, dict)] == [{"layers": "here"}]
    # SciPy, which does not follow it, agrees on the rest.
    assert "__function_workspace__" in scipy.io.loadmat(path)


def test_what_an_object_was_saved_as_is_found_in_7_3(
    tmp_path: Path, write_mat73: Write, cell: Callable[..., np.ndarray]
) -> None:
    saved = cell(np.zeros((1, 4), np.uint8), {"layers": "here"})
    path = write_mat73(tmp_path / "a.mat", {"net": np.uint32([[1, 2]]), "#subsystem#": {"x": 1.0}})
    with h5py.File(path, "r+") as opened:
        opened["net"].attrs["MATLAB_object_decode"] = np.int32(3)
        opened["net"].attrs["MATLAB_class"] = np.bytes_("dagnn.DagNN")
    write_mat73(tmp_path / "b.mat", {"net": np.uint32([[1, 2]]), "#subsystem#": {"MCOS": saved}})
    with h5py.File(tmp_path / "b.mat", "r+") as opened:
        opened["#subsystem#/MCOS"].attrs["MATLAB_class"] = np.bytes_("FileWrapper__")
    assert load_mat(path).objects == []
    read = load_mat(path).variables["net"]
    assert isinstance(read, Opaque)
    assert read.name == "dagnn.DagNN"
    objects = load_mat(tmp_path / "b.mat").objects
    assert [saved for saved in objects if isinstance(saved, dict)] == [{"layers": "here"}]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_short_is_refused(
    tmp_path: Path, write_mat: Write, values: dict[str, object], share: float
) -> None:
    values = {"weights": np.random.default_rng(0).normal(size=(40, 40)), **values}
    path = write_mat(tmp_path / "a.mat", values)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"a\.mat is (cut short|no \.mat)"):
        load_mat(path)


def test_no_damage_brings_up_anything_but_a_complaint(
    tmp_path: Path, write_mat: Write, values: dict[str, object]
) -> None:
    path = write_mat(tmp_path / "a.mat", values)
    whole, draws = path.read_bytes(), np.random.default_rng(0)
    for trial in range(60):
        content = bytearray(whole)
        for at in draws.integers(min(128, len(whole)), len(whole), 1 + trial % 4):
            content[at] = draws.integers(256)
        damaged = tmp_path / f"{trial}.mat"
        damaged.write_bytes(content)
        try:
            load_mat(damaged)
        except WeightsError:
            continue


def test_a_compressed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    tag = struct.pack("<II", 14, 3 << 30)
    packed = zlib.compress(tag + bytes(1 << 20))
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(WeightsError, match="declares arrays of more than 2048 MiB together"):
        load_mat(path)


def test_bombs_add_up(tmp_path: Path, write_mat5: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {f"x{index}": np.zeros(1000) for index in range(4)}
    path = write_mat5(tmp_path / "a.mat", arrays, compressed=True)
    monkeypatch.setattr(matvalues, "MAX_BYTES", 20_000)
    with pytest.raises(WeightsError, match="declares arrays of more than"):
        load_mat(path)


def test_an_absurd_dataset_is_not_allocated(tmp_path: Path, write_mat73: Write) -> None:
    path = write_mat73(tmp_path / "a.mat", {"x": 1.0})
    with h5py.File(path, "r+") as opened:
        opened.create_dataset("y", (1 << 20, 1 << 20), "f4", chunks=(64, 64))
    with pytest.raises(WeightsError, match="declares arrays of more than 2048 MiB together"):
        load_mat(path)


def test_an_absurd_shape_is_refused(tmp_path: Path, write_mat5: Write) -> None:
    path = write_mat5(tmp_path / "a.mat", {"x": np.zeros((3, 5))})
    content = path.read_bytes()
    sizes = struct.pack("<ii", 3, 5)
    path.write_bytes(content.replace(sizes, struct.pack("<ii", 1 << 30, 1 << 30), 1))
    with pytest.raises(WeightsError, match=r"x is .* and holds 15 numbers"):
        load_mat(path)


@pytest.mark.parametrize(
    ("stored", "sizes"),
    [
        (9, struct.pack("<dd", float("nan"), 1)),
        (9, struct.pack("<dd", float("inf"), 1)),
        (9, struct.pack("<dd", 2.0**40, 0)),
        (12, struct.pack("<qqq", 0, 1 << 62, 1 << 62)),
        (5, struct.pack("<70i", *[1] * 70)),
        (5, b""),
    ],
)
def test_a_shape_that_no_array_has_is_refused(tmp_path: Path, stored: int, sizes: bytes) -> None:
    body = element(6, struct.pack("<II", 6, 0)) + element(stored, sizes) + element(1, b"x")
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + element(14, body + element(9, struct.pack("<d", 1.0))))
    with pytest.raises(WeightsError, match="an array has the shape"):
        load_mat(path)


def test_an_empty_array_is_read_whatever_its_other_sides(tmp_path: Path) -> None:
    sizes = struct.pack("<iii", 0, (1 << 31) - 1, (1 << 31) - 1)
    body = element(6, struct.pack("<II", 6, 0)) + element(5, sizes) + element(1, b"x")
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + element(14, body + element(9, b"")))
    found = load_mat(path).variables["x"]
    assert isinstance(found, np.ndarray)
    assert found.size == 0


@pytest.mark.parametrize("width", [float("nan"), float("inf"), 2.0**60])
def test_a_field_name_of_no_length_or_any_is_refused(tmp_path: Path, width: float) -> None:
    body = element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<ii", 1, 1))
    body += element(1, b"x") + element(9, struct.pack("<d", width)) + element(1, b"")
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER + element(14, body))
    with pytest.raises(WeightsError, match="a struct's fields have no names"):
        load_mat(path)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def test_a_reference_to_itself_is_not_followed_for_ever(tmp_path: Path, write_mat73: Write) -> None:
    path = write_mat73(tmp_path / "a.mat", {"x": 1.0})
    with h5py.File(path, "r+") as opened:
        node = opened.create_dataset("y", (1,), h5py.ref_dtype)
        node.attrs["MATLAB_class"] = np.bytes_("cell")
        node[0] = node.ref
    with pytest.raises(WeightsError, match="nests structs and cells more than 32 deep"):
        load_mat(path)


def test_links_out_of_the_file_are_not_followed(tmp_path: Path, write_mat73: Write) -> None:
    write_mat73(tmp_path / "b.mat", {"secret": 1.0})
    path = write_mat73(tmp_path / "a.mat", {"x": 1.0})
    with h5py.File(path, "r+") as opened:
        opened["y"] = h5py.ExternalLink(str(tmp_path / "b.mat"), "secret")
    with pytest.raises(WeightsError, match="/y is a link"):
        load_mat(path)
    (tmp_path / "raw").write_bytes(bytes(80))
    with h5py.File(path, "r+") as opened:
        del opened["y"]
        opened.create_dataset("y", (10,), "f8", external=[(str(tmp_path / "raw"), 0, 80)])
    with pytest.raises(WeightsError, match="/y keeps its numbers in another file"):
        load_mat(path)


def test_the_format_7_3_asks_for_h5py(
    tmp_path: Path, write_mat73: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mat73(tmp_path / "a.mat", {"x": 1.0})
    plain = write_mat73(tmp_path / "b.mat", {"x": 1.0}, header=False)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert is_mat(path)
    assert not is_mat(plain)
    with pytest.raises(WeightsError, match=r"needs h5py: pip install h5py"):
        load_mat(path)
