"""Runs of every task: each goes on bit by bit from its checkpoint, and leaves what it promises."""

import os

import pytest

from minitorch.train.config import ConfigError
from minitorch.train.run import Run, known_keys
from minitorch.train.tasks import TASKS

WORDS = ("the king the queen a fool and his ghost speak of love of war of sleep and of death in the night "
         "come go stay hear me now good sir no more").split()
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
BERT = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20, **DROPOUT}
CONFIGS = {
    "char-lm": ({"n_layer": 1, "n_head": 2, "n_embd": 8}, {"text": "text.txt", "context": 9, "batch_size": 4}),
    "mlm": (BERT, {"text": "text.txt", "context": 12, "batch_size": 4, "vocab_size": 60}),
    "seq2seq": ({"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 12,
                 "dropout": 0.2}, {"pairs": "pairs.txt", "batch_size": 3}),
    "classify": ({}, {"base": "mlm", "sentences": "sentences.txt", "batch_size": 4}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("runs"), os.getcwd()
    lines = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(6)) for i in range(60)]
    (folder / "text.txt").write_text("\n".join(lines))
    (folder / "pairs.txt").write_text("".join(f"{'test' if i % 5 == 0 else 'train'}\t{word}e\t{word}\n"
                                              for i, word in enumerate(dict.fromkeys(WORDS))))
    (folder / "sentences.txt").write_text("".join(
        f"{'bad' if i % 2 else 'good'}\t{'test' if i % 5 == 0 else 'train'}\t{line}\n" for i, line in enumerate(lines)))
    os.chdir(folder)
    yield folder
    os.chdir(before)


def config_of(task, **changes):
    model, data = CONFIGS[task]
    train = {"steps": 6, "warmup": 2, "ema": 0.5, "eval_every": 2, **changes}
    return {"task": task, "model": model, "data": data, "train": train}


@pytest.mark.parametrize("task", list(CONFIGS))
def test_a_run_goes_on_bit_by_bit(task, folder):
    straight = Run(config_of(task), folder / task)
    if task == "char-lm":
        straight.train(progress=False)
    else:                                                           # without the pictures, which take time
        straight.trainer.run(progress=False)
        straight.save_model()
    first = Run(config_of(task), folder / f"{task}, again")
    first.trainer.run(until=3, progress=False)
    first.trainer.save()
    second = Run(config_of(task), folder / f"{task}, again")
    assert second.resume() == 3
    second.trainer.run(progress=False)
    ends = [(run.folder / "checkpoint.safetensors").read_bytes() for run in (straight, second)]
    assert ends[0] == ends[1]
    if task == "char-lm":
        assert set(os.listdir(straight.folder)) >= {"config.toml", "loss.png", "gradient_flow.png", "model", "log.csv"}
    assert set(os.listdir(straight.folder / "model")) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert straight.trainer.valid_now == second.trainer.valid_now
    trained = straight.trainer.trained.eval()
    for name, value in (straight.task.metrics(trained) if straight.task.metrics else {}).items():
        assert 0 <= value <= 1, name


def test_every_task_is_tried():
    assert set(CONFIGS) == set(TASKS)


def test_keys(folder):
    config = config_of("char-lm")
    keys = known_keys(config)
    assert "context" in keys["data"] and "lr" in keys["train"] and set(keys["model"]) == {"n_layer", "n_head", "n_embd"}
    for section, message in [("data", r"\[data\] there is no key 'contxt'. Did you mean 'context'"),
                             ("train", r"\[train\] there is no key 'contxt'"),
                             ("model", r"\[model\] there is no key 'contxt'")]:
        with pytest.raises(ConfigError, match=message):
            Run({**config, section: {**config[section], "contxt": 3}}, folder / "x")
    with pytest.raises(ConfigError, match="Did you mean 'char-lm'"):
        Run({**config, "task": "char-ml"}, folder / "x")
    with pytest.raises(ConfigError, match=r"\[data\] text should be a text, got 5"):
        Run({**config, "data": {"text": 5}}, folder / "x")


def test_another_config_does_not_go_on(folder):
    Run(config_of("char-lm"), folder / "other").trainer.save()
    with pytest.raises(ConfigError, match=r"another \[train\]: steps was 6, and now is 7"):
        Run(config_of("char-lm", steps=7), folder / "other").resume()
