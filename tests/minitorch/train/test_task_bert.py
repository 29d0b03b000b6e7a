"""The tasks of BERT: what is hidden is asked for, what is padded does not count, and a trained one can be used."""

import numpy as np
import pytest

import minitorch
from minitorch.data import WordPieceTokenizer
from minitorch.models import BERT, BERTConfig
from minitorch.train import Settings, Trainer
from minitorch.train.config import ConfigError
from minitorch.train.task_bert import classify, mlm, read_sentences

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
GOOD = ["a fine day", "so good", "fine and good food", "good day"]
BAD = ["a bad day", "so sad", "sad and bad food", "bad day"]


@pytest.fixture
def sentences(tmp_path):
    rows = [f"{name}\t{part}\t{text}" for part in ("train", "test") for name, texts in (("yes", GOOD), ("no", BAD))
            for text in texts]
    (tmp_path / "sentences.tsv").write_text("\n".join(rows) + "\n")
    return str(tmp_path / "sentences.tsv")


@pytest.fixture
def base(tmp_path):
    """The folder of a small BERT and its tokenizer."""
    minitorch.manual_seed(0)
    tokenizer = WordPieceTokenizer().train("\n".join(GOOD + BAD), 80)
    BERT(BERTConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=12, **SMALL)).save_pretrained(tmp_path / "bert")
    tokenizer.save(tmp_path / "bert" / "tokenizer.json")
    return str(tmp_path / "bert")


def test_hidden_words(tmp_path):
    minitorch.manual_seed(0)
    rng = np.random.default_rng(0)
    words = ["cat", "dog", "fish", "bird"]              # one of them again and again: a hidden word is what the others are
    (tmp_path / "text.txt").write_text(" ".join(f"{rng.choice(words)} " * 40 for _ in range(40)))
    settings = Settings(steps=250, lr=1e-2, warmup=10)
    task = mlm(SMALL, settings, text=str(tmp_path / "text.txt"), context=10, batch_size=8, vocab_size=40)
    x, labels = (t.numpy() for t in next(iter(task.train)))
    special = task.tokenizer.special_tokens
    assert x.shape == labels.shape == (8, 10)
    assert (x[:, 0] == special["[CLS]"]).all() and (x[:, -1] == special["[SEP]"]).all()
    asked = labels != -100
    assert asked.any() and not asked[:, [0, -1]].any() and task.size((x, minitorch.tensor(labels))) == asked.sum()
    assert set(task.tokenizer.decode(np.where(asked, labels, x)[0, 1:-1]).split()) <= set(words)
    first, again = ([[t.tolist() for t in batch] for batch in task.valid] for _ in range(2))
    assert first == again                                               # each evaluation hides the same words
    trainer = Trainer(task.model, task.loss, task.train, settings, valid=task.valid, size=task.size)
    assert trainer.evaluate() > 3.0
    trainer.run(progress=False)
    assert trainer.valid_now < 1.2 and task.metrics(task.model.eval())["hidden words guessed right"] > 0.25     # ln 4 = 1.39


def test_classes(sentences, base):
    minitorch.manual_seed(0)
    settings = Settings(steps=60, lr=1e-2, warmup=5)
    task = classify({}, settings, sentences=sentences, base=base, batch_size=4, context=8)
    ids, mask, labels = next(iter(task.train))
    assert ids.shape == mask.shape and labels.shape == (4,) and task.size((ids, mask, labels)) == 4
    assert ((ids.numpy() != 0) == (mask.numpy() == 1)).all()
    assert task.model.config.extra["id2label"] == {"0": "no", "1": "yes"}
    Trainer(task.model, task.loss, task.train, settings).run(progress=False)
    assert task.metrics(task.model.eval()) == {"test accuracy": 1.0}


def test_sentences_that_come_along():
    train, test, names = read_sentences("shipped")
    assert (len(train), len(test), names) == (324, 80, ["negative", "positive"])


def test_what_cannot_be_learnt_from(tmp_path, sentences, base):
    bad = tmp_path / "bad.tsv"
    for content, says in [("yes\ttrain\n", "line 1: expected class"),
                          ("yes\ttrain\tso\nyes\ttest\tso\n", "two or more classes"),
                          ("yes\ttrain\tso\nno\ttrain\tso\n", "both train and test")]:
        bad.write_text(content)
        with pytest.raises(ConfigError, match=says):
            read_sentences(str(bad))
    with pytest.raises(ConfigError, match="neither \"shipped\" nor a text file"):
        read_sentences(str(tmp_path / "nothing.tsv"))
    with pytest.raises(ConfigError, match="base: .*nowhere"):
        classify({}, Settings(), sentences=sentences, base=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="the base decides"):
        classify({"hidden_size": 8}, Settings(), sentences=sentences, base=base)
    (tmp_path / "text.txt").write_text("abc " * 50)
    for data, says in [({"context": 100}, "too few"), ({"context": 3}, "4 or more"), ({"vocab_size": 6}, "vocab_size")]:
        with pytest.raises(ConfigError, match=says):
            mlm(SMALL, Settings(), **{"text": str(tmp_path / "text.txt"), **data})
