"""Recovery codes: the same each time, unlike for others, read as people type them, and hashed."""

import hashlib
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.accounts.codes import (
    ALPHABET,
    HASH_BEGINS,
    MAX_CODES,
    derive,
    fits,
    is_hash,
    normal,
    place_of,
    slow_hash,
)

KEY, UID = b"a key of thirty-two bytes, or so ", "0c5b2c1e-6d3f-4f0a-9d36-0f6a1b9d7f11"
CODES = derive(KEY, UID, 3)
HASHES = tuple(slow_hash(code, bytes([place]) * 16) for place, code in enumerate(CODES))


def test_the_same_object_has_the_same_codes_and_more_codes_begin_with_these():
    assert derive(KEY, UID, 20)[:3] == CODES


def test_a_code_is_ten_characters_of_hkdf_as_rfc_5869_has_it():
    def expected(number: int) -> str:
        info = f"{UID}/{number}".encode()
        raw = HKDF(SHA256(), 32, b"watchbell/recovery-codes/v1", info).derive(KEY)
        bits = "".join(f"{byte:08b}" for byte in raw)[:50]
        plain = "".join(ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, 50, 5))
        return f"{plain[:5]}-{plain[5:]}"

    assert tuple(expected(number) for number in (1, 2, 3)) == CODES


@given(st.binary(min_size=32, max_size=64), st.uuids(), st.integers(min_value=1, max_value=MAX_CODES))
def test_codes_are_each_another_and_made_of_letters_that_cannot_be_mistaken(key, uid, number):
    made = derive(key, str(uid), number)
    assert len(set(made)) == number
    for code in made:
        assert len(code) == 11
        assert code[5] == "-"
        assert set(code.replace("-", "")) <= set(ALPHABET)
        assert not set(code) & set("ILOU")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.uuids(), st.uuids())
def test_another_key_or_another_object_has_other_codes(key, other_key, uid, other_uid):
    codes = {derive(key, str(uid), 1), derive(other_key, str(uid), 1), derive(key, str(other_uid), 1)}
    assert len(codes) == 1 + (key != other_key) + (uid != other_uid)


@pytest.mark.parametrize(
    "typed",
    ["7k3qx-9mprt", "7K3QX9MPRT", " 7K3QX 9MPRT\n", "7K3QX\u20139MPRT", "7k3qx\u00a0-\u00a09mprt"],
)
def test_case_hyphen_and_spaces_do_not_matter(typed):
    assert normal(typed) == "7K3QX9MPRT"


def test_letters_that_look_like_digits_are_read_as_these():
    assert normal("oOiIl-L2345") == "0011112345"


@pytest.mark.parametrize(
    "typed", ["", "7K3QX-9MPR", "7K3QX-9MPRTT", "7K3QX-9MPRU", "7K3QX-9MPR!", "x" * 10_000, "ßßßßß"]
)
def test_what_can_be_no_code_is_none(typed):
    assert normal(typed) is None
    assert not fits(typed, HASHES[0])
    with pytest.raises(ValueError, match="only a code"):
        slow_hash(typed, b"s" * 16)


def test_a_hash_is_argon2id_and_fits_its_own_code_only():
    assert all(one.startswith(HASH_BEGINS) and is_hash(one) for one in HASHES)
    assert [place_of(code.lower(), HASHES) for code in CODES] == [0, 1, 2]
    assert place_of(derive(KEY, UID, 4)[3], HASHES) is None
    assert place_of("nonsense", HASHES) is None


def test_the_same_code_with_another_salt_has_another_hash():
    assert len({slow_hash(CODES[0], hashlib.sha256(bytes([seed])).digest()[:16]) for seed in range(3)}) == 3


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        HASHES[0].replace("m=19456", "m=4194304"),
        HASHES[0].replace("t=2", "t=100000"),
        HASHES[0].replace("argon2id", "argon2i"),
        HASHES[0] + "A" * 200,
        HASHES[0][:-4] + "!!!!",
        HASHES[0][:60],
        HASH_BEGINS + "$",
    ],
)
def test_a_hash_of_others_costs_nothing_and_fits_nothing(hashed):
    assert not fits(CODES[0], hashed)


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_no_text_breaks_the_reading_of_codes_and_hashes(text):
    plain = normal(text)
    assert plain is None or set(plain) <= set(ALPHABET)
    assert not fits(CODES[0], text)


def test_an_operator_without_account_mail_does_not_pay_for_it():
    program = (
        "import sys, watchbell.runtime; "
        "print(sorted({'argon2', 'jwt', 'watchbell.accounts.tokens', 'watchbell.accounts.codes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
