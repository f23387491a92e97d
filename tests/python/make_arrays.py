"""Writes arrays with zarr-python, and beside each its elements as plain bytes: what the reader must give.

Usage: make_arrays.py DIR. Writes DIR/manifest.json: [{"name", "shape", "dtype"}], DIR/NAME (the array), DIR/NAME.raw.
"""

import itertools
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

warnings.filterwarnings("ignore")
ROOT = Path(sys.argv[1])
MANIFEST = []
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64", "complex64", "complex128"]


def elements(shape, dtype, seed):
    """Smooth with noise, so that every codec has something to do; every byte of wide types is used."""
    rng = np.random.default_rng(seed)
    grid = sum(np.ix_(*[np.arange(n) * (7 * i + 3) for i, n in enumerate(shape)]))
    values = grid + rng.integers(0, 5, size=shape)
    dtype = np.dtype(dtype)
    if dtype == bool:
        return (values % 3 == 0)
    if dtype.kind in "iu":
        return (values.astype(np.uint64) * np.uint64(0x0101010101010101)).astype(np.uint64).view(np.int64).astype(dtype)
    if dtype.kind == "c":
        return (values * 0.37 - 100 + 1j * (values * 1.5)).astype(dtype)
    return (values * 0.37 - 100).astype(dtype)


def write(name, shape, dtype, chunks, *, fill=None, codecs=None, holes=(), separator="/", encoding="default", data=None):
    """One array: whole grid cells listed in `holes` are not written."""
    path = ROOT / name
    data = elements(shape, dtype, len(MANIFEST)) if data is None else data
    if fill is None:
        fill = {"b": False, "c": [0.0, 0.0]}.get(np.dtype(dtype).kind, 0)
    spec = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": str(np.dtype(dtype)),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": encoding, "configuration": {"separator": separator}},
        "fill_value": fill,
        "codecs": [codec.to_dict() for codec in codecs],
        "attributes": {},
    }
    path.mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(spec))
    array = zarr.open_array(store=str(path), mode="r+", zarr_format=3)
    # Cells of fill only are stored too: what is missing is missing on purpose.
    expected = np.array(np.broadcast_to(array.fill_value, shape), dtype=array.dtype)
    with zarr.config.set({"array.write_empty_chunks": True}):
        grid = [range(-(-n // c)) for n, c in zip(shape, chunks)]
        for cell in itertools.product(*grid):
            if cell in holes:
                continue
            region = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(cell, chunks, shape))
            array[region] = data[region]
            expected[region] = data[region]
    assert array[...].tobytes() == expected.tobytes(), name
    (ROOT / f"{name}.raw").write_bytes(np.ascontiguousarray(expected).astype(expected.dtype.newbyteorder("<")).tobytes())
    MANIFEST.append({"name": name, "shape": list(shape), "dtype": str(np.dtype(dtype))})


def le():
    return BytesCodec(endian="little")


def shard(inner, codecs, location="end", index_codecs=None):
    index_codecs = index_codecs or [BytesCodec(endian="little"), Crc32cCodec()]
    return ShardingCodec(chunk_shape=inner, codecs=codecs, index_codecs=index_codecs, index_location=location)


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    shape, chunks, inner = (21, 34, 27), (16, 16, 16), (8, 4, 8)

    for dtype in ["bool", *INTS, *FLOATS]:
        for endian in ["little", "big"]:
            write(f"bytes-{dtype}-{endian}", shape, dtype, chunks, codecs=[BytesCodec(endian=endian)])
        write(f"holes-zstd-{dtype}", shape, dtype, chunks, codecs=[shard(inner, [le(), ZstdCodec(level=3)])], holes={(0, 1, 0)})

    for name, codec in {
        "zstd": ZstdCodec(level=1),
        "zstd-checksum": ZstdCodec(level=19, checksum=True),
        "gzip": GzipCodec(level=6),
        "crc32c": Crc32cCodec(),
    }.items():
        for dtype in ["uint8", "uint16", "float64"]:
            write(f"plain-{name}-{dtype}", shape, dtype, chunks, codecs=[le(), codec])
            write(f"sharded-{name}-{dtype}", shape, dtype, chunks, codecs=[shard(inner, [le(), codec])])

    for cname in ["zstd", "lz4", "lz4hc", "blosclz", "zlib"]:  # wheels of numcodecs have no snappy
        for shuffle in ["noshuffle", "shuffle", "bitshuffle"]:
            for dtype in ["uint8", "uint16", "float32", "float64"]:
                for blocksize in [0, 1000]:
                    size = np.dtype(dtype).itemsize
                    try:
                        codec = BloscCodec(typesize=size, cname=cname, clevel=5, shuffle=shuffle, blocksize=blocksize)
                        codecs = [shard((7, 5, 9), [le(), codec])]
                        write(f"blosc-{cname}-{shuffle}-{dtype}-{blocksize}", shape, dtype, (14, 15, 18), codecs=codecs)
                    except ValueError as error:  # this c-blosc was built without the compressor
                        print(f"skipped blosc {cname}: {error}", file=sys.stderr)
    noise = np.random.default_rng(7).integers(0, 256, size=shape, dtype=np.uint8)
    write("blosc-incompressible", shape, "uint8", chunks, data=noise,
          codecs=[shard(inner, [le(), BloscCodec(typesize=1, cname="zstd", clevel=5, shuffle="bitshuffle", blocksize=0)])])

    for encoding, separator in itertools.product(["default", "v2"], ["/", "."]):
        mark = "slash" if separator == "/" else "dot"
        write(f"keys-{encoding}-{mark}", shape, "uint16", chunks, encoding=encoding, separator=separator, codecs=[le(), ZstdCodec()])

    for order in itertools.permutations(range(3)):
        mark = "".join(map(str, order))
        write(f"transpose-{mark}", shape, "uint16", chunks, codecs=[TransposeCodec(order=order), le(), ZstdCodec()])
        write(f"transpose-inside-{mark}", shape, "uint16", chunks, codecs=[shard(inner, [TransposeCodec(order=order), le(), ZstdCodec()])])
    write("transpose-twice", shape, "int32", chunks, codecs=[TransposeCodec(order=(1, 2, 0)), TransposeCodec(order=(0, 2, 1)), le()])
    write("transpose-before-sharding", shape, "uint16", (8, 16, 12),
          codecs=[TransposeCodec(order=(2, 0, 1)), shard((4, 4, 4), [le(), ZstdCodec()])])

    write("index-at-start", shape, "uint16", chunks, codecs=[shard(inner, [le(), ZstdCodec()], location="start")])
    write("index-big-endian", shape, "uint16", chunks,
          codecs=[shard(inner, [le(), ZstdCodec()], index_codecs=[BytesCodec(endian="big"), Crc32cCodec()])])
    write("index-without-checksum", shape, "uint16", chunks, codecs=[shard(inner, [le(), ZstdCodec()], index_codecs=[le()])])
    write("codecs-after-sharding", shape, "uint16", chunks, codecs=[shard(inner, [le()]), ZstdCodec(), Crc32cCodec()])
    write("nested-sharding", shape, "uint16", chunks, codecs=[shard((8, 8, 8), [shard((4, 4, 4), [le(), ZstdCodec()])])])

    fills = [("float32", "NaN"), ("float32", "0x7fc00123"), ("float32", "-Infinity"), ("float64", "0xfff8000000000abc"), ("float16", "Infinity"),
             ("float16", 1.5), ("int16", -3), ("uint64", 2**64 - 1), ("int64", -(2**63)), ("bool", True), ("complex64", [1.5, "NaN"])]
    for number, (dtype, fill) in enumerate(fills):
        holes = {(0, 0, 0), (1, 1, 1)}
        write(f"fill-{number}-{dtype}", shape, dtype, chunks, fill=fill, holes=holes, codecs=[shard(inner, [le(), ZstdCodec()])])
        write(f"fill-plain-{number}-{dtype}", shape, dtype, chunks, fill=fill, holes=holes, codecs=[le()])
    every = set(itertools.product(range(2), range(3), range(2)))
    write("nothing-stored", shape, "uint16", chunks, fill=42, holes=every, codecs=[shard(inner, [le(), ZstdCodec()])])

    write("one-axis", (1000,), "uint16", (64,), codecs=[shard((16,), [le(), ZstdCodec()])])
    write("five-axes", (3, 2, 9, 10, 11), "float32", (2, 1, 4, 8, 8), codecs=[shard((1, 1, 4, 4, 4), [le(), ZstdCodec()])])
    (ROOT / "manifest.json").write_text(json.dumps(MANIFEST))


main()
