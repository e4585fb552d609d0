"""Public keys from secret ones (RFC 7748), without zmq.

A local client needs its cluster's id, which is a hash of the server's public key, and importing zmq for that one
number would cost it several times what the whole connection costs. Used once a process, on this machine, for a key
that this user owns: so it need not run in constant time. `zmq.curve_public` gives the same bytes (a test compares).
"""

_P = 2**255 - 19
_A24 = 121665


def public_key(secret: bytes) -> bytes:
    """The 32 bytes of the public key of a secret key of 32 bytes."""
    if len(secret) != 32:
        raise ValueError("a secret key has 32 bytes")
    scalar = int.from_bytes(secret, "little")
    scalar = (scalar & ~7 & ((1 << 254) - 1)) | (1 << 254)
    return _ladder(scalar, 9).to_bytes(32, "little")


def _ladder(scalar: int, u: int) -> int:
    x2, z2, x3, z3 = 1, 0, u, 1
    swapped = 0
    for position in range(254, -1, -1):
        bit = scalar >> position & 1
        if bit != swapped:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % _P, b * b % _P, d * a % _P, c * b % _P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _P, u * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + _A24 * e) % _P
    if swapped:
        x2, z2 = x3, z3
    return x2 * pow(z2, -1, _P) % _P
