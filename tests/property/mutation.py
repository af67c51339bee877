"""A seeded mutator of bytes: what a broken disk, a broken sender and a hostile one make of good files."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

TOKENS = (
    *(b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800"),
    *(b"\n", b"\r", b",", b":", b"[" * 400, b"{", b"}", b'"', b"'", b"? ", b"<<: ", b"&a ", b"*a ", b"..", b"/"),
    *(b"-1", b"1e999", b"NaN", b"9" * 400, b"0x" + b"f" * 5_000, b"1:" * 200, b"null"),
    *(b"!!python/object:os.system ", b"0001-01-01T00:00:00+23:59"),
)
"""What parsers stumble over."""


def mutations(samples: Sequence[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """Samples with one to four changes each, always the same for a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        content = bytearray(rng.choice(samples))
        for _ in range(rng.randint(1, 4)):
            _change(content, samples, rng)
        yield bytes(content)


def _change(content: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    to = min(len(content), at + rng.choice((1, 1, 2, 4, 16, 200)))
    match rng.randrange(7):
        case 0:
            content[at:to] = bytes(rng.randrange(256) for _ in range(to - at))
        case 1:
            content[at:to] = b""
        case 2:
            content[at:at] = content[at:to] * rng.choice((1, 2, 50))
        case 3:
            content[at:at] = rng.choice(TOKENS)
        case 4:
            content[at:to] = rng.choice(TOKENS)
        case 5:
            other = rng.choice(samples)
            start = rng.randrange(len(other) + 1)
            content[at:to] = other[start : start + 50]
        case _:
            del content[at:]
