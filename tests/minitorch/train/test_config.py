"""Configs: what is read is what tomllib reads, and what cannot be read is named by its line."""

import sys

import pytest

from minitorch.train import config
from minitorch.train.config import ConfigError
from minitorch.train.run import known_keys
from minitorch.train.trainer import Settings

TEXT = '''# a comment
task = "char-lm"   # another

[model]
name = "a # in a text, and a \\" quote"   # "quoted" # comment
sizes = [1, 2.5, "three"]
[ train ]
lr=1e-3
steps =2000
on = true
off= false
small = -0.5
'''


def test_it_reads_what_tomllib_reads():
    tomllib = pytest.importorskip("tomllib") if sys.version_info >= (3, 11) else None
    found = config.parse(TEXT)
    assert found["model"] == {"name": 'a # in a text, and a " quote', "sizes": [1, 2.5, "three"]}
    assert found["train"] == {"lr": 1e-3, "steps": 2000, "on": True, "off": False, "small": -0.5}
    if tomllib:
        assert tomllib.loads(TEXT) == {key: value for key, value in found.items() if value != {}}


@pytest.mark.parametrize("name", list(config.shipped()))
def test_the_configs_that_come_along(name):
    found = config.read(name)
    if sys.version_info >= (3, 11):
        import tomllib
        assert tomllib.loads((config.FOLDER / f"{name}.toml").read_text(encoding="utf-8")) == \
            {key: value for key, value in found.items() if value != {}}
    Settings(**found["train"])
    known = known_keys(found)
    assert set(found["data"]) <= set(known["data"]) and len(config.shipped()[name]) > 20
    assert config.parse(config.dump(found)) == found


@pytest.mark.parametrize("text, message", [
    ("lr = 1", "line 1: 'lr' stands before the first section"),
    ('task = "a"\n[trian]', r"line 2: there is no section 'trian'. Did you mean 'train'\?"),
    ('task = "a"\n[train]\nlr = 1\nlr = 2', "line 4: 'lr' is set twice"),
    ('task = "a"\n[train]\nlr', "line 3: expected .section. or key = value, got 'lr'"),
    ("task = char-lm", 'line 1: task = char-lm: expected a number, true, .* in double quotes: task = "char-lm"'),
    ("task = 'a'", 'in double quotes: task = "a"'),
    ('task = "a"\n[train]\nlr = nan', "line 3"), ('task = "a"\n[train]\nlr = NaN', "line 3"),
    ('task = "a"\n[train]\nlr = 1_000', "line 3"), ('task = "a"\n[train]\nlr = {}', "line 3"),
    ('task = "a"\n[train]\nlr = null', "line 3"), ('task = "a"\n[train]\nlr = "a', "line 3"),
    ('task = "a"\n[train]\nlr = ' + "[" * 100_000, "line 3"), ('task = "a"\n[train]\nl r = 1', "line 3"),
    ('task = "a"\n[[train]]', "line 2"), ("", "its first line should say what to learn"),
    ("task = 3", "its first line should say what to learn"), ('task = "a" b', "line 1"),
])
def test_what_cannot_be_read_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        config.parse(text)


def test_names_and_files(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'char-gpt'"):
        config.read("char-gtp")
    with pytest.raises(ConfigError, match="neither a file nor one that comes along"):
        config.read(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError):
        config.read(tmp_path)
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read(tmp_path)
    (tmp_path / "config.toml").write_text('task = "a"')
    assert config.read(tmp_path)["task"] == config.read(tmp_path / "config.toml")["task"] == "a"


def test_overrides():
    known = {"model": ["n_layer"], "data": ["text", "same"], "train": ["lr", "steps", "same"]}
    start = {"task": "a", "model": {}, "data": {}, "train": {"lr": 1}}
    changes = ["lr=3e-4", "train.steps=5", "text=all", "model.more=[1,2]", 'data.same="x"', "text=a=b"]
    found = config.override(start, changes, known)
    assert found == {"task": "a", "model": {"more": [1, 2]}, "data": {"text": "a=b", "same": "x"},
                     "train": {"lr": 3e-4, "steps": 5}}
    assert start["train"] == {"lr": 1}
    for change, message in [("step=3", "there is no key 'step'. Did you mean 'steps'?"), ("lr", "written key=value"),
                            ("same=1", "write data.same or train.same"), ("trian.lr=1", "Did you mean 'train'?"),
                            ("=1", "written key=value"), ("data.lr=1", "there is no key 'lr'")]:
        with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
            config.override(start, [change], known)
