"""`shard`, and its shards read back without the library."""

import gzip

import zstandard

import bloomdata

LINES = [b'{"text":"line %d"}' % number for number in range(23)]
CONTENT = b"".join(line + b"\n" for line in LINES)
DECOMPRESS = {
    ".zst": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
    ".gz": gzip.decompress,
    ".jsonl": bytes,
}


def shard(inputs, output, **options):
    return bloomdata.shard(
        inputs, output, **({"num_threads": 2, "allow_empty": True, "allow_duplicate_inputs": True} | options)
    )


def contents_of(folder):
    """Decompressed content of every shard by name, without the suffix of the compression."""
    found = {}
    for path in sorted(folder.rglob("part-*")):
        name = path.relative_to(folder).as_posix().removesuffix(".zst").removesuffix(".gz")
        found[name] = DECOMPRESS[path.suffix](path.read_bytes())
    return found


def seekable(frames):
    """Frames with the seek table of the zstd repository's description behind them."""
    stored = [zstandard.compress(frame) for frame in frames]
    table = b"".join(
        len(a).to_bytes(4, "little") + len(b).to_bytes(4, "little") for a, b in zip(stored, frames, strict=True)
    )
    table += len(frames).to_bytes(4, "little") + b"\0" + (0x8F92EAB1).to_bytes(4, "little")
    return b"".join(stored) + (0x184D2A5E).to_bytes(4, "little") + len(table).to_bytes(4, "little") + table
