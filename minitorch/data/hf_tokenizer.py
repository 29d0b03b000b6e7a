"""Any tokenizer of Hugging Face, from its ``tokenizer.json``; and one function that opens every kind there is."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path

from minitorch.data.byte_pairs import BytePairTokenizer
from minitorch.data.characters import CharTokenizer
from minitorch.data.gguf_tokenizer import tokenizer_json
from minitorch.data.tokenizer import Tokenizer
from minitorch.data.word_pieces import WordPieceTokenizer

__all__ = ["HFTokenizer", "load_tokenizer"]


class HFTokenizer(Tokenizer):
    """The tokenizer that comes with a Hugging Face model, through the ``tokenizers`` library.

    ``pip install tokenizers`` first (or ``pip install "minitorch-numba[hf]"``).

    Parameters
    ----------
    path
        A model's folder, or the file ``tokenizer.json`` in it; or a GGUF file, which holds its tokenizer.
    """

    kind = "hugging-face"

    def __init__(self, path: str | Path):
        file = Path(path)
        file = file / "tokenizer.json" if file.is_dir() else file
        try:
            library = importlib.import_module("tokenizers")
        except ImportError:
            raise ImportError("HFTokenizer reads tokenizer.json through the library 'tokenizers', which is not installed: "
                              "pip install tokenizers") from None
        if not file.is_file():
            raise FileNotFoundError(f"HFTokenizer: there is no file {file}. Give a model's folder that holds "
                                    "tokenizer.json, or that file.")
        text = tokenizer_json(file) if file.suffix.lower() == ".gguf" else file.read_text(encoding="utf-8")
        try:
            self._inner = library.Tokenizer.from_str(text)
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"HFTokenizer: {file} is not a tokenizer that the library reads: {error}") from None
        self._inner.no_padding()
        self._inner.no_truncation()
        added = sorted(self._inner.get_added_tokens_decoder().items())
        self.special_tokens = {token.content: id for id, token in added if token.special}

    @property
    def vocab_size(self) -> int:
        return self._inner.get_vocab_size()

    def encode(self, text: str, pair: str | None = None, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, with the special tokens that its model expects around it."""
        return self._inner.encode(self._text(text), pair, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of ids."""
        return self._inner.decode(self._ids(ids), skip_special_tokens=skip_special_tokens)

    def _contents(self):
        return {"tokenizer": json.loads(self._inner.to_str())}

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json`` as Hugging Face does."""
        self._inner.save(str(path))

    @classmethod
    def load(cls, path: str | Path) -> HFTokenizer:
        """The same as ``HFTokenizer(path)``."""
        return cls(path)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Open a tokenizer of any kind: a file that ``save`` wrote, ``vocab.txt``, ``tokenizer.json``, a GGUF file, or a folder.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/tokenizer.json"
    >>> minitorch.data.BytePairTokenizer().save(path)
    >>> minitorch.data.load_tokenizer(path)
    BytePairTokenizer(256 ids)
    """
    path = Path(path)
    names = ["tokenizer.json", "vocab.txt"]
    if path.is_dir():
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"load_tokenizer: the folder {path} holds neither {' nor '.join(names)}.")
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"load_tokenizer: there is no file or folder {path}.")
    if path.suffix.lower() == ".gguf":
        return HFTokenizer(path)
    if path.suffix == ".txt":
        return WordPieceTokenizer.load(path)
    try:
        contents = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"load_tokenizer: {path} is not JSON ({error}).") from None
    contents = contents if isinstance(contents, dict) else {}
    for kind in (CharTokenizer, BytePairTokenizer, WordPieceTokenizer):
        if contents.get("type") == kind.kind:
            return kind.load(path)
    if "model" not in contents:
        raise ValueError(f"load_tokenizer: {path} is neither a tokenizer of minitorch (no \"type\") nor one of Hugging Face "
                         "(no \"model\").")
    try:
        return HFTokenizer(path)
    except ImportError:
        if (path.parent / "vocab.txt").is_file():       # BERT's folders hold both
            return WordPieceTokenizer.load(path.parent)
        raise
