"""By what weights are recognised, whatever the file they lie in.

Of each tensor two things are kept. Its **digest** is over how often it has which value, each rounded to bfloat16: the
same for the same values under other names, in another order, in shards, transposed, with rows or neurons permuted, in
a wider type, and after a cast to bfloat16. Its **sketch** is 64 of its values from evenly spread places: nearly the
same after any other cast, after a little noise, and after further training.

`closeness` compares two models by both. Knows numpy and the safetensors format; nothing is loaded as a model.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_app.ml.families import weight_files

SKETCH = 64
#: At a time: bincount widens each value to eight bytes.
_CHUNK = 1 << 22
#: A tensor of fewer different values says nothing: biases of zeros, norms of ones.
_TELLING = 16
_DTYPES: Mapping[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32,
    "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class TensorPrint:
    size: int  #: elements
    digest: str
    sketch: NDArray[np.float32]  #: (64,); empty for smaller tensors
    telling: bool = True


def fingerprint(weights_dir: Path) -> list[TensorPrint]:
    """Of every tensor that would be loaded from there, by size and digest, so that names and order play no part."""
    prints = [_print(values, kind) for values, kind in _tensors(Path(weights_dir)) if values.size]
    return sorted(prints, key=lambda tensor: (-tensor.size, tensor.digest))


def weights_digest(prints: Sequence[TensorPrint]) -> str:
    """SHA-256 over the multiset of tensors."""
    lines = sorted(f"{tensor.size}:{tensor.digest}" for tensor in prints if tensor.telling)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class _SameSize:
    """The telling tensors of one size. `sketches`: (tensors, 64), or (tensors, 0) where they are smaller than that."""

    digests: tuple[str, ...]
    sketches: NDArray[np.float64]
    norms: NDArray[np.float64]  #: (tensors,)


class Laid:
    """A model's prints, laid out so that two models are compared by a few array operations."""

    def __init__(self, prints: Sequence[TensorPrint]) -> None:
        self.digests = frozenset(tensor.digest for tensor in prints)
        by_size: dict[int, list[TensorPrint]] = defaultdict(list)
        for tensor in prints:
            if tensor.telling:
                by_size[tensor.size].append(tensor)
        self.total = sum(size * len(tensors) for size, tensors in by_size.items())
        self.by_size: dict[int, _SameSize] = {}
        for size, tensors in by_size.items():
            sketches = np.stack([tensor.sketch for tensor in tensors]).astype(np.float64)
            norms = np.maximum(np.linalg.norm(sketches, axis=1), 1e-12)
            self.by_size[size] = _SameSize(tuple(tensor.digest for tensor in tensors), sketches, norms)


def closeness(one: Laid, other: Laid) -> float:
    """How much of the weights of one is in the other, 0–1; of the two ways round the larger.

    A tensor with the same digest counts fully; else the tensor of the same size with the nearest sketch counts by
    1 − ‖a − b‖ / ‖b‖. 1 is a copy; unrelated weights are at 0. What is added to a copy or left out of it does not
    hide it: it is still whole in the other, or the other in it.
    """
    there = back = 0.0
    distances = {
        size: _distances(own, other.by_size[size])
        for size, own in one.by_size.items()
        if own.sketches.size and size in other.by_size
    }
    for size, own in one.by_size.items():
        near = distances[size] / other.by_size[size].norms if size in distances else None
        there += size * _found(own, other.digests, near)
    for size, own in other.by_size.items():
        near = distances[size].T / one.by_size[size].norms if size in distances else None
        back += size * _found(own, one.digests, near)
    return max(there / one.total if one.total else 0.0, back / other.total if other.total else 0.0)


def _found(tensors: _SameSize, digests: frozenset[str], distances: NDArray[np.float64] | None) -> float:
    """How many of these tensors are in the other model, in parts; `distances` to its own of this size: (these, its)."""
    same = np.array([digest in digests for digest in tensors.digests])
    if distances is None or same.all():
        return float(same.sum())
    near = 1.0 - distances.min(axis=1)
    near = np.where(near > 0, near, 0.0)  # also where it is no number
    return float(np.where(same, 1.0, near).sum())


def _distances(one: _SameSize, other: _SameSize) -> NDArray[np.float64]:
    """Of each to each: (one's, other's). As ‖a‖² + ‖b‖² − 2ab, for which float64 leaves the seven digits of float32."""
    squared = one.norms[:, None] ** 2 + other.norms**2 - 2 * (one.sketches @ other.sketches.T)
    return np.sqrt(np.maximum(squared, 0.0))


def _tensors(weights_dir: Path) -> Iterator[tuple[NDArray[Any], str]]:
    """(flat values, type) of each tensor in the files that a model is loaded from: others beside them are not it."""
    for file in weight_files(weights_dir):
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            header = json.loads(stream.read(length))
        data = np.memmap(file, dtype=np.uint8, mode="r", offset=0)
        for tensor, entry in header.items():
            if tensor == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            # memory maps need no alignment, views do
            yield np.asarray(data[start:end]), entry["dtype"]


def _print(raw: NDArray[Any], kind: str) -> TensorPrint:
    dtype = np.dtype(_DTYPES.get(kind, np.uint8))
    size = raw.nbytes // dtype.itemsize
    counts = np.zeros(1 << 16, dtype=np.int64)
    for start in range(0, size, _CHUNK):
        piece = raw[start * dtype.itemsize : (start + _CHUNK) * dtype.itemsize]
        codes = _codes(np.frombuffer(piece.tobytes(), dtype=dtype), kind)
        counts += np.bincount(codes, minlength=1 << 16)
    counts[0] += counts[0x8000]  # minus zero
    counts[0x8000] = 0
    digest = hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()
    places = ((np.arange(SKETCH) + 0.5) * size / SKETCH).astype(np.int64) if size >= SKETCH else []
    picked = [raw[place * dtype.itemsize : (place + 1) * dtype.itemsize].tobytes() for place in places]
    sketch = _values(np.frombuffer(b"".join(picked), dtype=dtype), kind)
    return TensorPrint(size, digest, sketch, telling=int(np.count_nonzero(counts)) >= _TELLING)


def _values(values: NDArray[Any], kind: str) -> NDArray[np.float32]:
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _codes(values: NDArray[Any], kind: str) -> NDArray[np.uint16]:
    """The upper 16 bits of each value as float32, rounded to nearest even: its bfloat16."""
    if kind == "BF16":
        return values
    bits = np.ascontiguousarray(values.astype(np.float32)).view(np.uint32)
    # in place: this is done for every weight
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded >>= np.uint32(16)
    return rounded.astype(np.uint16)
