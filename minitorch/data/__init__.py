"""Data that needs no network: texts, tokenizers, and the batches that models learn from."""

from minitorch.data.byte_pairs import BytePairTokenizer
from minitorch.data.characters import CharTokenizer
from minitorch.data.hf_tokenizer import HFTokenizer, load_tokenizer
from minitorch.data.packages import find_package_file
from minitorch.data.tokenizer import Tokenizer
from minitorch.data.word_pieces import WordPieceTokenizer

__all__ = [
    "BytePairTokenizer", "CharTokenizer", "HFTokenizer", "Tokenizer", "WordPieceTokenizer", "find_package_file",
    "load_tokenizer",
]
