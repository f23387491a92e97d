"""Writes the corpora that fuzzing starts from, with other implementations: zarr-python, numcodecs, and plain structs.

Usage: make_corpus.py. Needs the packages of tests/python/requirements.txt. Writes corpus/TARGET/NAME, a few KiB in all.
"""

import json
import struct
from pathlib import Path

import numcodecs
import numpy as np
import zarr

CORPUS = Path(__file__).parent / "corpus"
ABSENT = 2**64 - 1


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def crc32c(data):
    return struct.pack("<I", _crc32c(data))


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def documents():
    """zarr.json as zarr-python spells it, and members that it never writes."""
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

    chains = {
        "zstd": [BytesCodec(), ZstdCodec(level=3)],
        "blosc": [BytesCodec(), BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=2)],
        "gzip-crc": [TransposeCodec(order=(2, 0, 1)), BytesCodec(endian="big"), GzipCodec(level=5), Crc32cCodec()],
        "shards": [ShardingCodec(chunk_shape=(4, 4, 4), codecs=[BytesCodec(), ZstdCodec()])],
        "shards-of-shards": [
            ShardingCodec(
                chunk_shape=(8, 4, 4), index_location="start", codecs=[ShardingCodec(chunk_shape=(4, 4, 2), codecs=[BytesCodec()])]
            )
        ],
    }
    for name, codecs in chains.items():
        metadata = zarr.core.metadata.v3.ArrayV3Metadata(
            shape=(17, 16, 9),
            data_type=zarr.core.dtype.UInt16(),
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": (8, 8, 8)}},
            chunk_key_encoding={"name": "v2" if name == "gzip-crc" else "default", "configuration": {"separator": "."}},
            fill_value=7,
            codecs=codecs,
            attributes={"unit": "nm"},
            dimension_names=["z", "y", None],
        )
        write("zarr_json", name, json.dumps(metadata.to_dict(), default=str).encode())
    plain = json.loads((CORPUS / "zarr_json" / "zstd").read_bytes())
    for name, value in [("nan", "NaN"), ("bits", "0x7fc00001"), ("infinity", "-Infinity"), ("decimal", 1.5e-7)]:
        write("zarr_json", f"fill-{name}", json.dumps(plain | {"data_type": "float32", "fill_value": value}).encode())
    extension = {"storage_transformers": [], "later": {"name": "later", "must_understand": False}}
    write("zarr_json", "extension", json.dumps(plain | extension).encode())


def shard_indexes():
    """Arguments behind the bytes, as `arbitrary` takes them: what is of variable length comes first."""
    pairs = [(0, 100), (ABSENT, ABSENT), (100, 28)]
    for name, order, entries in [("little", "<", pairs), ("big", ">", pairs), ("half", "<", [(5, ABSENT)]), ("beyond", "<", [(90, 900)])]:
        words = struct.pack(f"{order}{2 * len(entries)}Q", *[word for entry in entries for word in entry])
        for size in (0, 180):
            head = bytes([0, order == ">", name == "beyond", 1, 1, size > 0]) + (struct.pack("<Q", size) if size else b"")
            write("shard_index", f"{name}-{size}", head + words)


def containers(data):
    """Stored chunks of `data`, by what made them."""
    yield "raw", [], data
    yield "zstd", [0], numcodecs.Zstd(level=3).encode(data)
    yield "zstd-checksum", [0], numcodecs.Zstd(level=1, checksum=True).encode(data)
    yield "gzip", [2], numcodecs.GZip(level=5).encode(data)
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
        for shuffle in (0, 1, 2):
            codec = numcodecs.Blosc(cname=cname, clevel=5, shuffle=shuffle, blocksize=512)
            yield f"blosc-{cname}-{shuffle}", [1], codec.encode(np.frombuffer(data, "<u2"))
    yield "blosc-stored", [1], numcodecs.Blosc(clevel=0).encode(data)
    yield "crc", [3], data + crc32c(data)
    gzipped = numcodecs.GZip(level=5).encode(data)
    yield "gzip-crc", [2, 3], gzipped + crc32c(gzipped)
    yield "blosc-zstd", [1, 0], numcodecs.Zstd().encode(numcodecs.Blosc().encode(data))


def chunks():
    """Chunks of 16 x 20 x 3 uint16 behind the eight bytes that fuzz_targets/chunk_chain.rs describes."""
    shape = (16, 20, 3)
    values = (np.add.outer(np.arange(16) * 5, np.arange(60)) // 7).astype("<u2").reshape(shape)
    uint16 = 6
    for name, kinds, stored in containers(values.tobytes()):
        kinds = kinds + [0] * (3 - len(kinds)) if kinds else [0, 0, 0]
        count = 0 if name == "raw" else 2 if name in ("gzip-crc", "blosc-zstd") else 1
        for flags in (0, 3) if name in ("raw", "zstd", "blosc-lz4-1") else (0,):
            write("chunk_chain", f"{name}-{flags}", bytes([count, *kinds, uint16, flags, shape[0] - 1, shape[1] - 1]) + stored)
        if name.startswith("blosc") and count == 1:
            # Expectations as `arbitrary` takes them: decoded length as said, stored length unknown, 32 substreams.
            write("blosc_header", name, bytes([0, 0]) + struct.pack("<I", 32) + stored[:32])
            # Kind::Raw, no damage, no cut, a part in the middle: then the container, as `arbitrary` takes them.
            write("blosc_container", name, bytes([0, 0, 0, 0, 0, 0, 100, 30]) + stored)
    # A shard of three inner chunks, one of them missing; see `read_header`.
    inner = [values[..., i].tobytes() for i in (0, 2)]
    index = struct.pack("<6Q", 0, len(inner[0]), ABSENT, ABSENT, len(inner[0]), len(inner[1]))
    write("chunk_chain", "shard", bytes([0, 0, 0, 0, uint16, 8, 15, 19]) + b"".join(inner) + index)


def samples():
    short = {"uri": "a.zarr", "box": [[0, 64], [-8, 64]]}
    named = {"image": short, "label": {"uri": "s3://bucket/b", "box": [[0, 9223372036854775807]]}}
    write("samples_file", "short", json.dumps(short).encode())
    write("samples_file", "named", b"\n".join(json.dumps(line).encode() for line in (named, short, {"uri": 5})))


def made():
    """What c-blosc makes while fuzzing: Kind::Made with every compressor, then no damage, no cut, a part, the data."""
    data = bytes(range(0, 250, 5)) * 4
    for compressor in range(6):
        for filter in range(3):
            kind = struct.pack("<IBBBBHB", 0x80000000, compressor, 5, filter, 1 + compressor, 128 * filter, 3)
            write("blosc_container", f"made-{compressor}-{filter}", kind + bytes([0, 0, 100, 30]) + data)


def operations():
    """Sequences of operations: bytes that `arbitrary` reads as them. What they mean matters little, that they differ does."""
    for target in ("core_cache", "core_gate", "planner"):
        for seed in range(6):
            rng = np.random.default_rng(seed)
            write(target, f"random-{seed}", rng.integers(0, 256, 64 << seed, dtype=np.uint8).tobytes())


if __name__ == "__main__":
    documents()
    shard_indexes()
    chunks()
    samples()
    made()
    operations()
