"""The task of the encoder-decoder: pairs in, what was learnt out."""

import pytest

import minitorch
from minitorch.train import Settings, Trainer
from minitorch.train.config import ConfigError
from minitorch.train.task_seq2seq import read_pairs, rewrite, seq2seq

SMALL = {"d_model": 32, "nhead": 4, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 64, "dropout": 0.0}


def test_it_learns_to_turn_words_around(tmp_path):
    words = ["ab", "ba", "aab", "abb", "bab", "a", "b", "bba", "abab", "aabb", "bbab", "baab"]
    lines = [f"{part}\t{word}\t{word[::-1]}" for part in ("train", "test") for word in words]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    minitorch.manual_seed(0)
    settings = Settings(steps=200, lr=5e-3, warmup=20, beta2=0.98)
    task = seq2seq(SMALL, settings, pairs=str(tmp_path / "pairs.tsv"), batch_size=6)
    batch = next(iter(task.train))
    assert task.size(batch) == int((batch["labels"].numpy() != -100).sum()) < batch["labels"].numel()
    Trainer(task.model, task.loss, task.train, settings, size=task.size).run(progress=False)
    found = task.metrics(task.model)
    assert found["exact match on held-out pairs"] == 1.0 and found["exact match of copying the input"] == 4 / 12
    assert rewrite(task.model, task.tokenizer, ["abb", "a"], beams=3) == ["bba", "a"]
    assert task.sample(task.model).splitlines()[0] == "ab → ba"


def test_pairs_that_come_along():
    train, held_out = read_pairs("shipped")
    assert len(train) == 13_898 and len(held_out) == 1_598 and ("haue", "have") in train


def test_what_cannot_be_learnt_from(tmp_path):
    bad = tmp_path / "bad.tsv"
    for content, says in [("train\ta\n", "line 1: expected train or test"), ("train\ta\tb\n", "both train and test"),
                          ("train\t\tb\n", "line 1")]:
        bad.write_text(content)
        with pytest.raises(ConfigError, match=says):
            read_pairs(str(bad))
    with pytest.raises(ConfigError, match="nor a text file"):
        read_pairs(str(tmp_path / "nothing.tsv"))
