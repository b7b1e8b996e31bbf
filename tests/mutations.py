"""Ways to spoil the bytes of a file, each drawn from a seeded generator."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np

__all__ = ["ANY", "PICKLE", "TIFF", "Mutation"]

Mutation = Callable[[bytearray, np.random.Generator], bytearray]

_NUMBERS = (0, 1, 2, 3, 7, 127, 255, 256, 2**15, 2**16 - 1, 2**20, 2**24, 10**9)
_NUMBERS += (2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**64 - 1)
_NUMBERS_IN_TEXT = tuple(str(n).encode() for n in _NUMBERS)
_NUMBERS_IN_TEXT += (b"-1", b"-99999999999", b"1e999", b"NaN", b"0.5", b"", b"1" * 5000)
# A number in quotes, a name in quotes, any number.
_TEXTS = (rb"(?<=\")\d+(?=\")", rb"(?<=\")[^\"\0\n]{1,80}(?=\")", rb"\d+")
_ELSEWHERE = (
    b"../bait.ome.tif",
    b"../../../../../../etc/passwd",
    b"/dev/zero",
    b"\\\\server\\share\\a.tif",
    b"http://127.0.0.1:9/a.tif",
)
_HOSTILE = (
    *_ELSEWHERE,
    b"a.ome.tif",
    b"a\x00b",
    b"XYCZT",
    b"uint8",
    b"float",
    b"&a;",
    b"x" * 100_000,
)
_ENTITIES = (
    # Each entity is ten of the one before.
    b'<!DOCTYPE OME [<!ENTITY a0 "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10) for n in range(9))
    + b'<!ENTITY a "&a9;">]>',
    b'<!DOCTYPE OME [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    b'<!DOCTYPE OME [<!ENTITY a SYSTEM "http://127.0.0.1:9/a">]>',
    b'<!DOCTYPE OME SYSTEM "../bait.dtd">',
)


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """Choose a byte, most often near an end, where formats keep their structure."""
    near = min(len(content), int(rng.choice([64, 512, 4096])))
    anywhere = int(rng.integers(len(content)))
    return (int(rng.integers(near)), len(content) - near, anywhere)[rng.integers(3)]


def truncate(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Cut the end off."""
    return content[: rng.integers(len(content))]


def flip_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Flip one bit to thirty-two."""
    for _ in range(2 ** rng.integers(6)):
        content[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return content


def insert_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Shift the rest behind random bytes or zeros."""
    n_bytes = int(2 ** rng.integers(12))
    place = _place(content, rng)
    content[place:place] = rng.bytes(n_bytes) if rng.random() < 0.5 else bytes(n_bytes)
    return content


def remove_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Leave a piece out."""
    place = _place(content, rng)
    del content[place : place + int(2 ** rng.integers(12))]
    return content


def repeat_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Copy a piece over another one."""
    source, target = _place(content, rng), _place(content, rng)
    piece = content[source : source + int(2 ** rng.integers(10))]
    content[target : target + len(piece)] = piece
    return content


def change_integer(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Overwrite what may be a length, an offset or a count."""
    for _ in range(rng.integers(1, 4)):
        size = int(rng.choice([2, 4, 8]))
        if len(content) >= size:
            place = min(_place(content, rng) // 2 * 2, len(content) - size)
            _put(content, place, size, "little" if rng.random() < 0.7 else "big", rng)
    return content


def _put(
    content: bytearray, place: int, size: int, order: str, rng: np.random.Generator
) -> None:
    number = _NUMBERS[rng.integers(len(_NUMBERS))] % 256**size
    content[place : place + size] = number.to_bytes(size, order)  # type: ignore[arg-type]


def change_text(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Write another number, or what means harm, in place of a number or a name."""
    for _ in range(rng.integers(1, 4)):
        quoted, number = rb"(?<=\")%s(?=\")", rb"\d+"
        pattern = (quoted % number, quoted % rb"[^\"\0\n]{1,80}", number)[
            rng.integers(3)
        ]
        found = list(re.finditer(pattern, content))
        match = found[rng.integers(len(found))]
        texts = _NUMBERS_IN_TEXT if match[0].isdigit() else _HOSTILE
        content[slice(*match.span())] = texts[rng.integers(len(texts))]
    return content


def change_file_name(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Let a description look for its pixels in another file."""
    found = list(re.finditer(rb'(?<=FileName=")[^"]*', content))
    name = found[rng.integers(len(found))][0]
    return content.replace(name, _ELSEWHERE[rng.integers(len(_ELSEWHERE))])


def add_entities(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Declare entities that expand without end, or that read other files."""
    start = content.find(b"<OME")
    if start < 0:
        return change_text(content, rng)
    content[start:start] = _ENTITIES[rng.integers(len(_ENTITIES))]
    return content.replace(b"<Pixels", b"<Description>&a;</Description><Pixels", 1)


def _tags(content: bytearray) -> tuple[str, int, list[int]]:
    """Return byte order, size of an offset, and places of the first page's tags."""
    order = "little" if content[:2] == b"II" else "big"
    big = int.from_bytes(content[2:4], order) == 43  # type: ignore[arg-type]
    start, width, count = (8, 8, 8) if big else (4, 4, 2)

    def number(place: int, size: int) -> int:
        return int.from_bytes(content[place : place + size], order)  # type: ignore[arg-type]

    page = number(start, width)
    n_tags = min(number(page, count), 100)
    size = 4 + 2 * width
    return order, width, [page + count + size * n for n in range(n_tags)]


def change_tag(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Change the code, type, count or value of a TIFF tag."""
    order, width, tags = _tags(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.choice(tags))
        offset, size = ((0, 2), (2, 2), (4, width), (4 + width, width))[
            rng.choice(4, p=[0.1, 0.2, 0.3, 0.4])
        ]
        if offset == 2:
            content[place + 2 : place + 4] = struct.pack(
                "<H" if order == "little" else ">H", rng.integers(20)
            )
        else:
            _put(content, place + offset, size, order, rng)
    return content


def change_description(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Give a TIFF another description, with all offsets as they were."""
    order, width, tags = _tags(content)
    for place in tags:
        code = int.from_bytes(content[place : place + 2], order)  # type: ignore[arg-type]
        if code == 270:
            break
    else:
        return change_tag(content, rng)
    values = [place + 4, place + 4 + width]
    count, start = (
        int.from_bytes(content[one : one + width], order)  # type: ignore[arg-type]
        for one in values
    )
    text = content[start : start + count].rstrip(b"\0")
    names = [change_file_name] * 3 if b"FileName" in text else []
    changes = (*_IN_DESCRIPTION, *names)
    text = changes[rng.integers(len(changes))](text, rng) + b"\0"
    for one, number in zip(values, (len(text), len(content)), strict=True):
        content[one : one + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    return content + text


def change_opcode(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Write another instruction into a pickle, stored or in a zip archive."""
    start = max(content.find(b"\x80\x02"), 0)
    for _ in range(rng.integers(1, 6)):
        place = start + int(rng.integers(min(8000, len(content) - start)))
        content[place] = rng.choice(list(b"RcbodlteusqhjKMJGVX(})].0Q\x81\x85\x93"))
    return content


_IN_DESCRIPTION: tuple[Mutation, ...] = (
    change_text,
    change_text,
    add_entities,
    truncate,
    flip_bits,
)
ANY: tuple[Mutation, ...] = (
    truncate,
    flip_bits,
    insert_bytes,
    remove_bytes,
    repeat_bytes,
    change_integer,
    change_text,
)
"""For files of any kind."""
TIFF = (*ANY, change_tag, change_tag, change_description, change_description)
PICKLE = (*ANY, change_opcode, change_opcode)
