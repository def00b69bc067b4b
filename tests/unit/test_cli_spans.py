"""Spans of time: as people type them, and as kubectl shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.cli.spans import LONGEST_S, UNITS_S, left, short, span_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1d12h", 129_600),
        ("1w", 604_800),
        (" 5m ", 300),
        ("3660d", LONGEST_S),
    ],
)
def test_a_span_is_read_as_seconds(text, seconds):
    assert span_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "0s", "0h0m", "2", "2 h", "h", "-2h", "1.5h", "30m1h", "2H", "1h1h", "3661d", "9999999999s", "٢h"]
)
def test_what_is_no_span_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"must be a span such as 90m, 1h30m or 2d"):
        span_s(text)


@given(st.integers(1, LONGEST_S))
def test_every_count_of_seconds_can_be_typed_in_units(seconds):
    text, left = "", seconds
    for unit, size_s in UNITS_S.items():
        count, left = divmod(left, size_s)
        text += f"{count}{unit}" if count else ""
    assert span_s(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0.4, "0s"),
        (95, "95s"),
        (119.9, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (18_600, "5h10m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (273_600, "3d4h"),
        (691_200, "8d"),
        (800 * 86_400, "2y"),
    ],
)
def test_an_age_is_shown_as_kubectl_shows_it(seconds, shown):
    assert short(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (7199.6, "2h"),
        (7141, "2h"),
        (7140, "1h59m"),
        (600.2, "11m"),
        (59.1, "1m"),
        (58.9, "59s"),
        (90_000, "1d1h"),
        (86_430, "1d"),
        (-1, "0s"),
    ],
)
def test_a_time_that_is_left_is_rounded_up(seconds, shown):
    assert left(seconds) == shown
