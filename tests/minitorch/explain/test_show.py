"""Numbers and arrays as text."""

import io
import re

import numpy as np
import pytest

from minitorch.explain.recorder import summary
from minitorch.explain.show import Paint, block, describe, inline, number, plain_where_needed, statistics


@pytest.mark.parametrize("x, text", [
    (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-3.0, "-3"), (0.5, "0.5"), (1 / 3, "0.33333"), (116.6667, "116.67"),
    (1e-9, "1e-09"), (1.5e12, "1.5e+12"), (float("nan"), "nan"), (float("-inf"), "-inf"), (7, "7"), (True, "True"),
    (np.float32(0.1), "0.1"), (np.int64(3), "3"),
])
def test_number(x, text):
    assert number(x) == text


def test_rows_are_aligned_and_right():
    array = np.random.default_rng(0).normal(size=(5, 4)) * [1, 10, 100, 0.001]
    lines = block(array, 80)
    assert len({len(line) for line in lines}) == 1 and len(lines) == 5
    shown = np.array([[float(x) for x in re.findall(r"\S+", line[1:-1])] for line in lines])
    assert np.allclose(shown, array, atol=0.006, rtol=0)
    assert not np.any((shown == 0) & (array != 0))          # what rounds to zero is not shown as zero


def test_large_arrays_show_a_corner_and_say_what_is_left():
    lines = block(np.arange(2.0 * 20 * 50).reshape(2, 20, 50), 60, rows=3, slices=1)
    assert lines[0] == "[0]:" and lines[1].endswith("… ]") and all(len(line) <= 60 for line in lines)
    assert lines[-2:] == ["… 17 more rows", "… 1 more of these"]
    assert block(np.zeros((0, 3))) == ["nothing: the shape is (0, 3)"]
    kept = summary(np.arange(90_000.0).reshape(300, 300))
    assert block(kept, 60, rows=2)[0].startswith("[   0    1") and "more rows" in block(kept, 60, rows=2)[-1]


def test_inline():
    assert inline(np.array(2.5)) == "2.5" and inline(np.array([[1.0, 2.5]])) == "[ 1.0  2.5 ]"
    assert inline(np.ones((2, 2))) is None and inline(np.arange(16.0), 20) is None and inline(np.zeros(0)) is None


def test_statistics_are_those_of_the_array():
    array = np.random.default_rng(0).normal(size=100) + 1
    words = re.findall(r"(mean|std|from|to|norm) (\S+)", statistics(array))
    expected = dict(mean=array.mean(), std=array.std(), to=array.max(), norm=np.linalg.norm(array)) | {"from": array.min()}
    assert len(words) == 5
    for word, shown in words:
        assert float(shown) == pytest.approx(expected[word], rel=1e-4), word
    assert "2 NaN or infinite" in statistics(np.array([1, np.nan, np.inf]))
    assert statistics(np.zeros(0)) == "no numbers"


def test_describe():
    assert describe("x", np.full((3, 3), 0.5), 80) == ["x = all 0.5   (3, 3)"]
    assert describe("n", 3, 80) == ["n = 3"]
    assert describe("pair", (np.zeros(2), np.ones(2)), 80) == ["pair[0] = [ 0  0 ]   (2,)", "pair[1] = [ 1  1 ]   (2,)"]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_only_on_a_terminal_and_unless_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Paint(_Terminal())("a", "bold") == "\x1b[1ma\x1b[0m" and Paint(io.StringIO())("a", "bold") == "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(_Terminal())("a", "bold") == "a"


def test_a_stream_without_unicode_gets_plain_text():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    plain_where_needed(stream)
    stream.write("x̂ · γ − σ² ∑")
    stream.flush()
    assert raw.getvalue() == b"xhat * gamma - sigma^2 ?"
