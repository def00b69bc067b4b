"""What is the same in other words: quantities, image ids, hashes of data and of env."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.collectors.baselines.digests import data_hash, env_hash, image_digest, is_same_image, text_hash
from watchbell.collectors.baselines.quantities import canonical, is_same
from watchbell.collectors.seen.shape import env_digest

D = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1Gi", "1073741824"),
        ("1024Mi", "1073741824"),
        ("1073741824", "1073741824"),
        ("1.5Gi", "1610612736"),
        ("100m", "0.1"),
        ("0.1", "0.1"),
        (".1", "0.1"),
        ("1000m", "1"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1k", "1000"),
        ("1E", "1000000000000000000"),
        ("2000n", "0.000002"),
        ("0", "0"),
        ("-0", "0"),
        ("0.0Gi", "0"),
        ("+1", "1"),
        ("007", "7"),
    ],
)
def test_a_quantity_has_one_plain_spelling(text: str, plain: str) -> None:
    assert canonical(text) == plain


@pytest.mark.parametrize(
    "text", ["", "1Kii", "1 Gi", "1gi", "1K", "abc", "1e999999999", "1e", "--1", "٣", "9" * 65, "1Gi\n"]
)
def test_what_is_no_quantity_stays_as_it_is_written(text: str) -> None:
    assert canonical(text) == text


@given(st.integers(0, 10**15), st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_binary_suffixes_are_powers_of_1024(number: int, suffix: str) -> None:
    power = ["Ki", "Mi", "Gi", "Ti"].index(suffix) + 1
    assert is_same(f"{number}{suffix}", str(number * 1024**power))


@given(
    st.decimals(0, 10**12, places=6, allow_nan=False, allow_infinity=False),
    st.sampled_from([("m", -3), ("k", 3), ("M", 6), ("u", -6), ("n", -9)]),
)
def test_decimal_suffixes_shift_the_point_exactly(number: Decimal, suffix: tuple[str, int]) -> None:
    text = format(number, "f")
    assert Decimal(canonical(f"{text}{suffix[0]}")) == number.scaleb(suffix[1])
    assert is_same(f"{text}{suffix[0]}", f"{text}e{suffix[1]}")


@given(st.text(max_size=80))
def test_the_plain_spelling_of_anything_is_its_own(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_different_amounts_are_never_the_same(one: int, other: int) -> None:
    assert is_same(f"{one}m", f"{other}m") == (one == other)


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"docker.io/otel/collector@{D}", D),
        (f"docker-pullable://otel/collector@{D}", D),
        (f"registry:5000/otel/collector@{D}", D),
        (D, ""),
        (f"docker://{D}", ""),
        ("a" * 64, ""),
        ("", ""),
        (f"@{D}", ""),
        (f"otel/collector@{D[:-1]}", ""),
        (f"otel/collector@{D.upper()}", ""),
        ("otel/collector@sha512:" + "a" * 128, ""),
    ],
)
def test_only_a_registrys_digest_can_be_compared(image_id: str, digest: str) -> None:
    assert image_digest(image_id) == digest


@pytest.mark.parametrize(
    ("expected", "actual", "is_same_"),
    [
        ("otel/x:1", "otel/x:1", True),
        ("otel/x:1", f"otel/x:1@{D}", True),
        ("otel/x:1", f"otel/x@{D}", True),
        ("registry:5000/otel/x", f"registry:5000/otel/x@{D}", True),
        ("registry:5000/otel/x:1", f"registry:5000/otel/x@{D}", True),
        ("otel/x:1", "otel/x:2", False),
        ("otel/x:1", f"otel/x:2@{D}", False),
        ("otel/x:1", f"otel/y@{D}", False),
        (f"otel/x@{D}", "otel/x:1", False),
        (f"otel/x@{D}", f"otel/x@sha256:{'b' * 64}", False),
    ],
)
def test_admission_may_add_a_digest_but_change_no_image(expected: str, actual: str, *, is_same_: bool) -> None:
    assert is_same_image(expected, actual) is is_same_


def test_a_hash_of_data_is_of_the_content_and_of_nothing_else() -> None:
    body = {"metadata": {"labels": {"a": "b"}}, "data": {"x": "1", "y": "2"}}
    assert data_hash(body) == data_hash({"data": {"y": "2", "x": "1"}, "binaryData": None})
    assert data_hash(body) != data_hash({"binaryData": {"x": "1", "y": "2"}})
    assert data_hash(body).startswith("sha256:")


def test_the_hash_of_an_env_list_is_the_same_in_every_process_and_order() -> None:
    """Fixed text: it stands in people's Git repositories."""
    pairs = [("A", env_digest("A", "1")), ("B", env_digest("B", "2"))]
    assert env_hash(pairs) == env_hash(reversed(pairs))
    assert env_hash(pairs) == "sha256:5eb87cf3008158367e125f33467a3b6ec5918c5616dff3dc70ba2ae35e2dfcc9"


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=4), st.data())
def test_another_value_gives_another_hash(env: dict[str, str], data: st.DataObject) -> None:
    pairs = [(name, env_digest(name, value)) for name, value in env.items()]
    name = data.draw(st.sampled_from(sorted(env) or ["NEW"]))
    other = {**env, name: env.get(name, "") + "x"}
    assert text_hash(sorted(pairs)) != text_hash(sorted((key, env_digest(key, value)) for key, value in other.items()))
