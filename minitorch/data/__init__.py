"""Data that needs no network: texts, tokenizers, and the batches that models learn from."""

from minitorch.data.batches import LMDataset, mask_tokens, pad_batch, sentence_pairs, shift_right, teacher_forcing
from minitorch.data.byte_pairs import BytePairTokenizer
from minitorch.data.characters import CharTokenizer
from minitorch.data.digits import digits
from minitorch.data.hf_tokenizer import HFTokenizer, load_tokenizer
from minitorch.data.packages import find_package_file
from minitorch.data.plays import plays
from minitorch.data.sentiment import sentiment
from minitorch.data.spelling import spelling_pairs
from minitorch.data.tokenizer import Tokenizer
from minitorch.data.word_pieces import WordPieceTokenizer

__all__ = [
    "BytePairTokenizer", "CharTokenizer", "HFTokenizer", "LMDataset", "Tokenizer", "WordPieceTokenizer", "digits",
    "find_package_file", "load_tokenizer", "mask_tokens", "pad_batch", "plays", "sentence_pairs", "sentiment",
    "shift_right", "spelling_pairs", "teacher_forcing",
]
