"""Every tokenizer gives back what it was given, says clearly what it cannot take, and comes back from its file."""

import json
import random

import numpy as np
import pytest

import minitorch
from minitorch.data import BytePairTokenizer, CharTokenizer, HFTokenizer, WordPieceTokenizer, load_tokenizer

HOSTILE = [
    "", " ", "\n", "\r\n\t \u3000", "a" * 1000, " " * 300 + "x", "Größe", "漢字かな交じり文", "🙂👩\u200d👧",
    "e\u0301 é", "\x00\x7f\x80",
    "\ud800 alone \udfff", "\U0010ffff", "<pad>", "< pad>", "don't __init__ 3.14159, 1e-9", "a\u200bb\u2028c",
]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "play", "##ing", "the", ",", "!", "漢",
        "a", "##a"]


def random_text(seed, length=400, last=0x110000):
    rng = random.Random(seed)
    ranges = [(0, 128), (0, 256), (0x370, 0x530), (0x4E00, 0x4F00), (0x1F600, 0x1F640), (0, last), (32, 48)]
    return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(length))


@pytest.fixture(scope="module")
def pieces():
    text = "the cat sat on the mat, and the other cat sat on the other mat. Größe 漢字 漢字\n" * 5
    return BytePairTokenizer(special_tokens=["<pad>", "<s>"]).train(text, 320)


@pytest.mark.parametrize("text", HOSTILE + [random_text(seed) for seed in range(20)])
def test_byte_pairs_lose_nothing(pieces, text):
    assert pieces.decode(pieces.encode(text)) == text
    assert BytePairTokenizer().decode(BytePairTokenizer().encode(text)) == text


def test_byte_pairs_merge_the_most_frequent_pair_first():
    tokenizer = BytePairTokenizer().train("ab ab ab bc bc", 259)
    assert list(tokenizer.merges) == [(ord("a"), ord("b")), (ord(" "), ord("b")), (ord(" "), 256)]
    assert tokenizer.encode("ab abc") == [256, 258, ord("c")]


def slow_training(words, size):
    """The definition: count everything again after each merge."""
    merges = []
    for new in range(256, size):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i:i + 2] = [new]
                i += 1
    return merges


@pytest.mark.parametrize("seed", range(6))
def test_fast_training_equals_the_definition(seed):
    rng = random.Random(seed)
    words = ["".join(rng.choice("aab") for _ in range(rng.randrange(1, 9))) for _ in range(60)]
    text = " ".join(words)
    slow = [list(word.encode()) for word in [words[0]] + [" " + word for word in words[1:]]]
    assert list(BytePairTokenizer().train(text, 300).merges) == slow_training(slow, 300)


def test_byte_pairs_of_a_long_run_and_a_full_vocabulary():
    text = "a" * 100_000
    tokenizer = BytePairTokenizer().train(text, 1000)
    assert tokenizer.vocab_size < 300           # nothing is left to merge
    assert tokenizer.decode(tokenizer.encode(text)) == text and len(tokenizer.encode(text)) < 2000
    assert BytePairTokenizer().train("", 300).vocab_size == 256


def test_byte_pairs_never_reach_over_words(pieces):
    for id in range(2, pieces.vocab_size):
        assert b" " not in pieces._bytes[id][1:]
    assert pieces.encode("<pad>the<s>")[0] == 0 and pieces.encode("<pad>the<s>")[-1] == 1
    assert pieces.decode([0, 2 + ord("x"), 1], skip_special_tokens=True) == "x"
    assert pieces.decode([2 + 0xC3]) == "�"


def test_characters():
    letters = CharTokenizer("hello, world", special_tokens=["<pad>", "<s>", "</s>"])
    ids = letters.encode("<s>hello</s>")
    assert ids[0] == 1 and ids[-1] == 2 and len(ids) == 7 and letters.vocab_size == 3 + len(set("hello, world"))
    assert letters.decode(ids) == "<s>hello</s>" and letters.decode(ids, skip_special_tokens=True) == "hello"
    for ids in (np.array([3, 4]), minitorch.tensor([3, 4]), (3, np.int32(4))):
        assert letters.decode(ids) == " ,"
    assert CharTokenizer("漢\U0010ffff").decode([1, 0]) == "\U0010ffff漢"


@pytest.mark.parametrize("call, error, says", [
    (lambda: CharTokenizer("abc").encode("abdc"), ValueError, "'d' at position 2"),
    (lambda: CharTokenizer("abc", ["<s>"]).encode("<s>a?"), ValueError, "'?' at position 4"),
    (lambda: CharTokenizer("abc").decode([0, 3]), IndexError, "id 3 at position 1 is not in the vocabulary, 0 to 2"),
    (lambda: CharTokenizer("abc").decode([0, -1]), IndexError, "id -1 at position 1"),
    (lambda: CharTokenizer("abc").decode([0.5]), TypeError, "whole numbers, got float"),
    (lambda: CharTokenizer("abc").decode([[0, 1]]), TypeError, "one row at a time"),
    (lambda: CharTokenizer("abc").decode("abc"), TypeError, "must be numbers"),
    (lambda: CharTokenizer("abc").encode(b"abc"), TypeError, "text.decode()"),
    (lambda: CharTokenizer("abc", "<pad>"), TypeError, "['<pad>']"),
    (lambda: CharTokenizer("abc", ["a", "a"]), ValueError, "twice"),
    (lambda: BytePairTokenizer().train("abc", 200), ValueError, "at least 256, got 200"),
    (lambda: BytePairTokenizer().train(None, 300), TypeError, "must be a str"),
    (lambda: BytePairTokenizer([(0, 300)]), ValueError, "0 to 255"),
    (lambda: BytePairTokenizer([(0, 1), (0, 1)]), ValueError, "twice"),
    (lambda: WordPieceTokenizer(["a"]), ValueError, "lacks [UNK], [CLS], [SEP]"),
])
def test_what_cannot_be_taken(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)


def test_files_come_back(pieces, tmp_path):
    for tokenizer in (pieces, CharTokenizer("\x00\n\"漢\ud800", ["<pad>"]), WordPieceTokenizer(BERT)):
        path = tmp_path / "tokenizer.json"
        tokenizer.save(path)
        text = "漢\n" if isinstance(tokenizer, CharTokenizer) else "the cat, playing 漢 unaffable!"
        for again in (type(tokenizer).load(path), load_tokenizer(path), load_tokenizer(tmp_path)):
            assert type(again) is type(tokenizer) and again.vocab_size == tokenizer.vocab_size
            assert again.encode(text) == tokenizer.encode(text) and again.special_tokens == tokenizer.special_tokens


@pytest.mark.parametrize("contents", [
    "", "{", "[]", "[" * 100_000, "null", '{"type": "characters"}', '{"type": "characters", "characters": 3}', '{"type": 7}',
    '{"type": "characters", "characters": "ab", "special_tokens": [1]}', '{"type": "byte-pairs", "merges": 5}',
    '{"type": "byte-pairs", "merges": [[1]], "special_tokens": []}', '{"type": "byte-pairs", "merges": []}',
    '{"type": "byte-pairs", "merges": [[-1, 1]], "special_tokens": []}', '{"type": "byte-pairs", "merges": [["x", 1]]}',
])
def test_damaged_files(contents, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(contents)
    for kind in (CharTokenizer, BytePairTokenizer):
        with pytest.raises(ValueError, match="broken.json"):
            kind.load(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        CharTokenizer.load(tmp_path / "missing.json")
    with pytest.raises(FileNotFoundError, match=r"tokenizer.json nor vocab.txt"):
        load_tokenizer(tmp_path)


def test_word_pieces(tmp_path):
    tokenizer = WordPieceTokenizer(BERT)
    assert tokenizer.encode("UNAFFABLE, the  Playing[MASK]!", add_special_tokens=False) == [5, 6, 7, 11, 10, 8, 9, 4, 12]
    assert tokenizer.encode("thé", "漢zz") == [2, 10, 3, 13, 1, 3]
    assert tokenizer.encode("a" * 101)[1:-1] == [1] and tokenizer.encode("a" * 100)[1:-1] == [14] + [15] * 99
    (tmp_path / "vocab.txt").write_text("\n".join(BERT) + "\n", encoding="utf-8")
    assert WordPieceTokenizer.load(tmp_path).pieces == BERT and load_tokenizer(tmp_path).lowercase
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert WordPieceTokenizer.load(tmp_path / "vocab.txt").encode("The")[1:-1] == [1]


@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces_equal_hugging_face(lowercase, tmp_path):
    transformers = pytest.importorskip("transformers")
    alphabet = [chr(c) for c in [*range(33, 127), *range(0xC0, 0x180), *range(0x4E00, 0x4E40)]]
    pieces = [*BERT[:5], *alphabet, *("##" + c for c in alphabet), "the", "##ing", "ab", "##cd", "##é"]
    pieces = list(dict.fromkeys(pieces))
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    theirs = transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt"), do_lower_case=lowercase)
    ours = WordPieceTokenizer(pieces, lowercase)
    for text in HOSTILE + [random_text(seed, last=0x500) for seed in range(30)]:  # later signs: as old as its Unicode
        text = text.encode("utf-8", "ignore").decode()      # without lone surrogates
        assert ours.encode(text) == theirs(text)["input_ids"], text
    assert ours.encode("the cat", "abcd!") == theirs("the cat", "abcd!")["input_ids"]


def test_hugging_face_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    for call in (HFTokenizer, load_tokenizer):
        with pytest.raises(ImportError, match="pip install tokenizers"):
            call(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(BERT) + "\n", encoding="utf-8")
    assert isinstance(load_tokenizer(tmp_path), WordPieceTokenizer)      # BERT's folders work without the library


@pytest.mark.parity
def test_hugging_face(tmp_path):
    library = pytest.importorskip("tokenizers")
    inner = library.Tokenizer(library.models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel()
    inner.decoder = library.decoders.ByteLevel()
    inner.train_from_iterator(["the cat sat on the mat"] * 3, library.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>"], initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet()))
    inner.enable_truncation(2)
    inner.save(str(tmp_path / "tokenizer.json"))
    for ours in (HFTokenizer(tmp_path), load_tokenizer(tmp_path), HFTokenizer.load(tmp_path / "tokenizer.json")):
        inner.no_truncation()
        ids = ours.encode("the mat, the hat 🙂")
        assert ids == inner.encode("the mat, the hat 🙂").ids and ours.decode(ids).strip() == "the mat, the hat 🙂"
        assert ours.vocab_size == inner.get_vocab_size() and ours.special_tokens == {"<unk>": 0, "<s>": 1}
    with pytest.raises(IndexError, match="not in the vocabulary"):
        ours.decode([10_000])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer that the library reads"):
        HFTokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file"):
        HFTokenizer(tmp_path / "nowhere")


def test_word_pieces_learn_from_a_text(tmp_path):
    text = "The waiter waited. The cats waited for the waiter's cat! Café, café 漢字 漢"
    tokenizer = WordPieceTokenizer().train(text, 60)
    assert tokenizer.vocab_size <= 60 and len(set(tokenizer.pieces)) == len(tokenizer.pieces)
    ids = tokenizer.encode(text)
    assert 1 not in ids and tokenizer.encode("waiter", add_special_tokens=False) == [tokenizer.pieces.index("waiter")]
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == [
        *"the waiter waited . the cats waited for the waiter ' s cat ! cafe , cafe 漢 字 漢".split()]
    assert tokenizer.encode("zoo")[1:-1] == [1]
    tokenizer.save(tmp_path / "pieces.json")
    assert WordPieceTokenizer.load(tmp_path / "pieces.json").encode(text) == ids
    with pytest.raises(ValueError, match="vocab_size must be at least"):
        WordPieceTokenizer().train(text, 10)
