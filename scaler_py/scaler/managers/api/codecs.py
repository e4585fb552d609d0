"""The core's compression, for what a driver stores or sends by itself."""

import zlib

from scaler import _core

# What files in this form begin with; ours begin with a codec's number, which is less.
_GZIP = b"\x1f\x8b"
# The container of zlib's own, and gzip's.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def compress(data: bytes, codec: str = "auto") -> bytes:
    """Compressed by "lz4", "zstd" or "gzip"; "auto" is lz4 where a sample says that it pays; "off" only marks it.

    Where that does not make it smaller the data stays as it is, but for 12 bytes in front. "gzip" is always a file in
    that form, which others can read. ValueError: no such codec.
    """
    if codec == "gzip":
        packer = zlib.compressobj(wbits=_GZIP_WINDOW)
        return packer.compress(data) + packer.flush()
    return _core.compress(data, codec)


def decompress(data: bytes, limit: int) -> bytes:
    """What `compress` was given, whatever the codec. No more than `limit` bytes are ever made.

    ValueError: it is larger, or was not made by `compress`.
    """
    return _gunzip(data, limit) if data[:2] == _GZIP else _core.decompress(data, limit)


def _gunzip(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        found = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"corrupt gzip data: {error}") from None
    if len(found) > limit:
        raise ValueError(f"more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("corrupt gzip data: it does not end where its file does")
    return found
