"""A file is what its first bytes say, whatever its type says."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.media import MEDIA_TYPES
from watchbell.mail.magic import OCTETS, lie

PE = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + bytes(20)
ELF = b"\x7fELF\x02\x01\x01" + bytes(20)
MACH = b"\xcf\xfa\xed\xfe" + bytes(20)
REAL = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(10),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(10),
    "image/gif": b"GIF89a" + bytes(10),
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": b"PK\x03\x04" + bytes(10),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": b"PK\x03\x04" + bytes(10),
    "application/vnd.oasis.opendocument.text": b"PK\x03\x04" + bytes(10),
    "application/gzip": b"\x1f\x8b\x08" + bytes(10),
    "application/msword": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(10),
    "text/csv": "a,größe\r\n".encode(),
    "application/json": b"{}",
}


@pytest.mark.parametrize("program", [PE, ELF, MACH])
@pytest.mark.parametrize("declared", sorted(MEDIA_TYPES))
def test_a_program_travels_under_no_type(program: bytes, declared: str) -> None:
    told = lie(declared, program)
    assert told is not None
    assert told.endswith("programs do not go by mail")


@pytest.mark.parametrize("declared", sorted(REAL))
def test_a_file_is_believed_under_its_own_type_and_under_one_that_claims_nothing(declared: str) -> None:
    assert lie(declared, REAL[declared]) is None
    assert lie(OCTETS, REAL[declared]) is None


@pytest.mark.parametrize("declared", [one for one in sorted(REAL) if one not in {"text/csv", "application/json"}])
@pytest.mark.parametrize("held", sorted(REAL))
def test_a_type_with_a_known_beginning_holds_nothing_else(declared: str, held: str) -> None:
    told = lie(declared, REAL[held])
    is_same = REAL[declared][:4] == REAL[held][:4]
    assert (told is None) is is_same
    if told:
        assert told.startswith(f"says {declared}, but the file ")


def test_a_known_beginning_gives_away_what_calls_itself_a_text() -> None:
    assert (
        lie("text/plain", b"%PDF-1.4")
        == "says text/plain, but the file is a PDF document; declare the type that it has"
    )
    assert lie("text/csv", b"caf\xe9") is not None
    assert lie("text/csv", b"a\0b") is not None


def test_a_table_that_begins_with_mz_is_no_program() -> None:
    assert lie("text/csv", b"MZ,count\r\n" + b"Mozambique,3\r\n" * 20) is None


def test_an_empty_file_is_a_text_but_no_picture() -> None:
    assert lie("text/csv", b"") is None
    assert lie("application/json", b"") is None
    assert lie("image/png", b"") == "says image/png, but the file is empty"
    assert lie("application/pdf", b"") == "says application/pdf, but the file is empty"


@given(st.sampled_from(sorted(MEDIA_TYPES)), st.binary(max_size=200))
def test_any_bytes_get_an_answer_and_programs_always_the_same(declared: str, data: bytes) -> None:
    assert lie(declared, data) == lie(declared, data)
    assert lie(declared, ELF + data) is not None
