"""Makes the pictures of mails small for docs/images: `python hack/smallpng.py from.png to.png`. A palette of 256 colours is more than a mail has.

Only for what Chromium writes: 8-bit RGB or RGBA, not interlaced (PNG specification, third edition).
"""

import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
Pixel = tuple[int, int, int]


def read(data: bytes) -> tuple[int, int, list[bytes]]:
    """Width, bytes of a pixel, and the unfiltered lines."""
    chunks = dict[bytes, bytes]()
    for kind, content in _chunks(data):
        chunks[kind] = chunks.get(kind, b"") + content
    width, _, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if depth != 8 or colour_type not in {2, 6} or interlace:
        raise SystemExit("only 8-bit RGB or RGBA without interlacing")
    size = 3 if colour_type == 2 else 4
    raw, stride = zlib.decompress(chunks[b"IDAT"]), width * size
    lines: list[bytes] = []
    above = bytes(stride)
    for start in range(0, len(raw), stride + 1):
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, size)
        lines.append(above)
    return width, size, lines


def shrink(data: bytes) -> bytes:
    """The same picture with a palette."""
    width, size, lines = read(data)
    rows = [[(line[at], line[at + 1], line[at + 2]) for at in range(0, len(line), size)] for line in lines]
    counted = Counter(pixel for row in rows for pixel in row)
    palette = [pixel for pixel, _ in counted.most_common(COLOURS)]
    index = {pixel: number for number, pixel in enumerate(palette)}
    for pixel in counted:
        if pixel not in index:
            index[pixel] = _nearest(pixel, palette)
    packed = b"".join(b"\0" + bytes([index[pixel] for pixel in row]) for row in rows)
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    content = (
        (b"IHDR", header),
        (b"PLTE", bytes(value for pixel in palette for value in pixel)),
        (b"IDAT", zlib.compress(packed, 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in content)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _unfiltered(kind: int, line: bytearray, above: bytes, size: int) -> bytes:
    """One line without its filter (§9.2)."""
    for at in range(len(line)) if kind else ():
        left = line[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        match kind:
            case 1:
                guess = left
            case 2:
                guess = above[at]
            case 3:
                guess = (left + above[at]) // 2
            case _:
                guess = _paeth(left, above[at], corner)
        line[at] = (line[at] + guess) & 255
    return bytes(line)


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    distances = (abs(estimate - left), abs(estimate - above), abs(estimate - corner))
    return (left, above, corner)[distances.index(min(distances))]


def _nearest(pixel: Pixel, palette: list[Pixel]) -> int:
    return min(
        range(len(palette)),
        key=lambda at: sum((one - other) ** 2 for one, other in zip(pixel, palette[at], strict=True)),
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(shrink(Path(sys.argv[1]).read_bytes()))
