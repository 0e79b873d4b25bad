"""Codes of the same item that differ only in spelling, as systems along a chain respell them.

No code is ever changed by this: ``00123`` stays ``00123``. It only says which codes **could** be the same item, and
in what their spelling differs; whether they are is for evidence to say.

==============  ==============  ==========================================
one system      another         they differ in
==============  ==============  ==========================================
``00123``       ``123``         leading zeros
``AB-12``       ``ab12``        separators, upper and lower case
``ERP-00123``   ``00123``       an affix, ``ERP-``
==============  ==============  ==========================================
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

_NOT_WORD = re.compile(r"[\W_]+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_PREFIX = re.compile(r"(?:[^\W\d_]+[\W_]*)+(?=[0-9])")
_SUFFIX = re.compile(r"(?<=[0-9])(?:[\W_]*[^\W\d_]+)+$")
_FIRST = re.compile(r"[^\W\d_]+[\W_]*")
_LAST = re.compile(r"[\W_]*[^\W\d_]+$")
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789\n"))
_TAIL = 4
"""Digits at the end of a code that decide its shard: affixes and leading zeros seldom reach so far."""


def bare(code: str) -> str:
    """Return what is left of a code without case, separators and leading zeros."""
    return _ZEROS.sub("", _NOT_WORD.sub("", code)).upper()


def affixes(code: str) -> tuple[str, str]:
    """Return the letters before the first digit and after the last one, with their separators; "" for none."""
    prefix, suffix = _PREFIX.match(code), _SUFFIX.search(code)
    return (prefix[0] if prefix else "", suffix[0] if suffix else "")


def trimmed(code: str) -> Iterator[tuple[str, str, str]]:
    """Yield each way to take whole words off a code's ends: prefix, what is left, suffix; least taken off first.

    ``ERP-T-001`` is ``ERP-`` and ``T-001``, or ``ERP-T-`` and ``001``.
    """
    prefix, suffix = affixes(code)
    starts, ends = [0], [len(code)]
    while starts[-1] < len(prefix) and (found := _FIRST.match(code, starts[-1], len(prefix))):
        starts.append(found.end())
    while ends[-1] > len(code) - len(suffix) and (found := _LAST.search(code[: ends[-1]])):
        ends.append(found.start())
    ways = [(start, end) for start in starts for end in ends if (start, end) != (0, len(code))]
    for start, end in sorted(ways, key=lambda way: way[0] - way[1]):
        yield code[:start], code[start:end], code[end:]


def differences(one: str, other: str) -> tuple[str, ...]:
    """Say in what the spelling of two codes with the same ``bare`` form differs."""
    joined, other_joined = _NOT_WORD.sub("", one), _NOT_WORD.sub("", other)
    found = {
        "leading zeros": joined.upper() != other_joined.upper(),
        "separators": _NOT_WORD.findall(one) != _NOT_WORD.findall(other),
        "upper and lower case": _ZEROS.sub("", joined) != _ZEROS.sub("", other_joined),
    }
    return tuple(name for name, differs in found.items() if differs)


class Shards:
    """Deals codes into shards so that all spellings of one item fall into the same one.

    The last digits decide; of a code without digits, its last letters. A code keeps its shard under every change
    that ``bare`` ignores, and under any affix of letters.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._of_tail: dict[bytes, int] = {}

    def of(self, codes: Sequence[str]) -> list[int]:
        """Return the shard of each code; none may hold a line end."""
        if self.count == 1 or not codes:
            return [0] * len(codes)
        tails = "\n".join(codes).encode(errors="replace").translate(None, _NO_DIGITS).split(b"\n")
        known = self._of_tail
        found = []
        for code, digits in zip(codes, tails, strict=True):
            tail = digits[-_TAIL:]
            shard = known.get(tail)
            if shard is None or not tail:
                shard = self._shard(tail, code)
                known[tail] = shard
            found.append(shard)
        return found

    def _shard(self, tail: bytes, code: str) -> int:
        seed = b"%d" % int(tail) if tail else bare(code)[-3:].encode(errors="replace")
        return zlib.crc32(seed) % self.count
