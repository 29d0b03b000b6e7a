"""Data, a batch at a time: PyTorch's ``torch.utils.data``, in one process.

    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, generator=Generator().manual_seed(0))
    for x, y in loader: ...

The order of an epoch is drawn when the epoch begins, all of it, from the loader's generator or from the default one: the
same seed gives the same batches. ``loader.state_dict()`` says where in the epoch the loader is; a loader that gets it
through ``load_state_dict`` goes on with the batch that would have come next.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import accumulate, islice
from typing import Any

import numpy as np

from minitorch.creation import tensor as make_tensor
from minitorch.errors import ShapeError
from minitorch.ops import stack
from minitorch.random import Generator, default_generator, numpy_generator
from minitorch.tensor import Tensor

__all__ = [
    "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler",
    "SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "default_collate",
    "random_split",
]


# ---------------------------------------------------------------------------------------------------------------------
# where samples come from

class Dataset:
    """Samples by number: write ``__getitem__(self, index)`` and ``__len__(self)``.

    >>> class Squares(minitorch.utils.data.Dataset):
    ...     def __getitem__(self, i):
    ...         return i, i * i
    ...     def __len__(self):
    ...         return 5
    >>> loader = minitorch.utils.data.DataLoader(Squares(), batch_size=3)
    >>> [squares.tolist() for numbers, squares in loader]
    [[0, 1, 4], [9, 16]]
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: write __getitem__(self, index), which returns a sample")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples one after the other, without numbers: write ``__iter__(self)``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}: write __iter__(self), which yields samples")


class TensorDataset(Dataset):
    """Sample i is the i-th row of each tensor.

    >>> data = minitorch.utils.data.TensorDataset(minitorch.arange(6).reshape(3, 2), minitorch.tensor([7, 8, 9]))
    >>> data[1]
    (tensor([2, 3]), tensor(8))
    """

    def __init__(self, *tensors: Tensor):
        if not tensors:
            raise ValueError("TensorDataset: give it at least one tensor")
        for i, t in enumerate(tensors):
            if not isinstance(t, (Tensor, np.ndarray)) or t.ndim == 0:
                raise TypeError(f"TensorDataset: argument {i} should be a tensor of one or more axes, got {_what(t)}")
        self.tensors = tuple(make_tensor(t) if isinstance(t, np.ndarray) else t for t in tensors)
        if len({len(t) for t in self.tensors}) > 1:
            raise ShapeError("TensorDataset: the tensors must have as many rows as each other, got "
                             f"{[len(t) for t in self.tensors]}")

    def __getitem__(self, index) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self):
        return len(self.tensors[0])


class Subset(Dataset):
    """Some samples of another dataset, by their numbers."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def __len__(self):
        return len(self.indices)


class ConcatDataset(Dataset):
    """Several datasets, one behind the other."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: give it at least one dataset")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))  # type: ignore[arg-type]

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is outside its {len(self)} samples")
        index += len(self) if index < 0 else 0
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self):
        return self.cumulative_sizes[-1]


def random_split(dataset: Dataset, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """Split a dataset by chance into parts of the given lengths, or of the given fractions, which sum to 1.

    >>> parts = minitorch.utils.data.random_split(range(10), [0.7, 0.3], minitorch.Generator().manual_seed(0))
    >>> [len(part) for part in parts]
    [7, 3]
    """
    total = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9 and any(isinstance(n, float) for n in lengths):
        if not all(0 <= fraction <= 1 for fraction in lengths):
            raise ValueError(f"random_split: fractions are from 0 to 1, got {list(lengths)}")
        counts = [math.floor(total * fraction) for fraction in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = list(lengths)  # type: ignore[arg-type]
    if sum(counts) != total or any(n != int(n) or n < 0 for n in counts):
        raise ValueError(f"random_split: the lengths {list(lengths)} sum to {sum(lengths)}, and the dataset has {total} "
                         "samples. Give lengths that sum to that, or fractions that sum to 1.")
    order = numpy_generator(generator).permutation(total).tolist()
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - count:end]) for count, end in zip(counts, ends)]


# ---------------------------------------------------------------------------------------------------------------------
# in which order

class Sampler:
    """An order to take samples in: write ``__iter__(self)``, which yields their numbers, and ``__len__(self)``."""

    def __init__(self, data_source: Sized | None = None):
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}: write __iter__(self), which yields the numbers of samples")


class SequentialSampler(Sampler):
    """0, 1, 2 and so on."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new order each time; with ``replacement`` each number is drawn from all of them."""

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
                 generator: Generator | None = None):
        if num_samples is not None:
            _check_positive("num_samples", num_samples)
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many are drawn."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        rng, n = numpy_generator(self.generator), len(self.data_source)
        if self.replacement:
            return iter(rng.integers(n, size=self.num_samples).tolist())
        rounds = [rng.permutation(n) for _ in range(-(-self.num_samples // n) if n else 0)]
        return iter(np.concatenate(rounds)[:self.num_samples].tolist() if rounds else [])

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given numbers, in a new order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices, self.generator = indices, generator

    def __iter__(self):
        return iter([self.indices[i] for i in numpy_generator(self.generator).permutation(len(self.indices))])

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Number i with a probability in proportion to weights[i]: for classes of unequal size."""

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True,
                 generator: Generator | None = None):
        self.weights = np.asarray(weights, dtype=np.float64)
        _check_positive("num_samples", num_samples)
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < math.inf:
            raise ValueError("weights should be a list of numbers of 0 or more, not all 0")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self):
        rng, p = numpy_generator(self.generator), self.weights / self.weights.sum()
        return iter(rng.choice(len(p), self.num_samples, self.replacement, p).tolist())

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` numbers from another sampler; the last may be shorter, unless ``drop_last``.

    >>> list(minitorch.utils.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        _check_positive("batch_size", batch_size)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self):
        numbers = iter(self.sampler)
        while batch := list(islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self):
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


# ---------------------------------------------------------------------------------------------------------------------
# samples into a batch

def default_collate(batch: Sequence[Any]) -> Any:
    """Make one batch of samples: arrays are stacked, numbers become a tensor; tuples, lists and dictionaries, their parts.

    >>> minitorch.utils.data.default_collate([(minitorch.zeros(2), 3), (minitorch.ones(2), 4)])
    [tensor([[0., 0.],
            [1., 1.]]), tensor([3, 4])]
    """
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray)):
        if any(np.shape(sample) != np.shape(first) for sample in batch):
            shapes = sorted({tuple(np.shape(sample)) for sample in batch})
            raise ShapeError(f"default_collate: samples of the shapes {', '.join(map(str, shapes[:4]))} do not stack. Pad "
                             "them to one length in a collate_fn of your own: DataLoader(..., collate_fn=...)")
        return stack([make_tensor(sample) if isinstance(sample, np.ndarray) else sample for sample in batch])
    if isinstance(first, np.generic):
        return make_tensor(np.asarray(batch))
    if isinstance(first, float):
        return make_tensor(np.asarray(batch, np.float64))
    if isinstance(first, int):
        return make_tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        parts = [default_collate(column) for column in zip(*batch)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
                    f"{type(first).__name__}")


def _rows(dataset, numbers) -> tuple[tuple[Tensor, ...], list]:
    """The tensors in which these samples are rows, and which: a batch of them can be taken at once. Else no tensors."""
    while type(dataset) is Subset:
        dataset, numbers = dataset.dataset, [dataset.indices[i] for i in numbers]
    return (dataset.tensors if type(dataset) is TensorDataset else ()), numbers


# ---------------------------------------------------------------------------------------------------------------------
# the loader

class DataLoader:
    """Walk over a dataset in batches, once per ``for`` loop.

    Parameters
    ----------
    generator
        Where the order comes from; without it, from the default generator.
    collate_fn
        Makes a batch of a list of samples; ``default_collate`` stacks them.
    num_workers
        Ignored, with a warning if it is not 0: batches are made in this process.

    >>> from minitorch.utils.data import DataLoader
    >>> loader = DataLoader(range(6), batch_size=2, shuffle=True, generator=minitorch.Generator().manual_seed(0))
    >>> batches = iter(loader)
    >>> next(batches)
    tensor([3, 2])
    >>> other = DataLoader(range(6), batch_size=2, shuffle=True, generator=minitorch.Generator())
    >>> other.load_state_dict(loader.state_dict())
    >>> [batch.tolist() for batch in other] == [batch.tolist() for batch in batches]
    True
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Iterable[int] | None = None, batch_sampler: Iterable[Sequence[int]] | None = None,
                 num_workers: int = 0, collate_fn: Callable[[list], Any] | None = None, pin_memory: bool = False,
                 drop_last: bool = False, timeout: float = 0, worker_init_fn: Callable | None = None,
                 multiprocessing_context: Any = None, generator: Generator | None = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = ""):
        if num_workers:
            warnings.warn(f"DataLoader: num_workers={num_workers} is ignored: batches are made in this process",
                          stacklevel=2)
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset gives its samples in its own order; leave out shuffle, "
                             "sampler and batch_sampler")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            _check_positive("batch_size", batch_size)
            batch_sampler = None if iterable else BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        if generator is None:  # the order may come from a sampler that brings its own
            generator = getattr(sampler, "generator", None) or getattr(
                getattr(batch_sampler, "sampler", None), "generator", None)
        self.dataset, self.batch_size, self.drop_last, self.generator = dataset, batch_size, drop_last, generator
        self.sampler, self.batch_sampler, self.num_workers = sampler, batch_sampler, 0
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else lambda sample: sample)
        self._epoch, self._batch = 0, 0             # epochs begun and finished; batches given out in this one
        self._start: dict | None = None             # the generator's state when this epoch began
        self._resume = False

    def __iter__(self) -> Iterator[Any]:
        """One epoch; after ``load_state_dict``, what is left of it."""
        generator = self.generator or default_generator
        resume, self._resume = self._resume, False
        now = generator.get_state()
        if resume:
            generator.set_state(self._start)  # type: ignore[arg-type]
        else:
            self._start, self._batch = now, 0
        batches = self._batches(skip=self._batch)
        if resume:
            generator.set_state(now)
        return self._give(batches)

    def _give(self, batches):
        for batch in batches:
            self._batch += 1
            yield self._fetch(batch)
        self._epoch, self._batch, self._start = self._epoch + 1, 0, None

    def _batches(self, skip: int) -> Iterator[Any]:
        """The numbers of the samples of each batch, or the samples; the order is drawn here, before the first."""
        if self.batch_sampler is not None:
            source = iter(self.batch_sampler)
        elif self.sampler is not None:
            source = iter(self.sampler)
        elif self.batch_size is None:
            source = iter(self.dataset)
        else:
            source = iter(BatchSampler(self.dataset, self.batch_size, self.drop_last))
        for _ in islice(source, skip):
            pass
        if isinstance(self.dataset, IterableDataset):
            return source
        ahead = list(islice(source, 1))  # a generator function draws nothing before it is asked for its first number
        return _behind(ahead, source)

    def _fetch(self, batch):
        if isinstance(self.dataset, IterableDataset):
            return self.collate_fn(batch)
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[batch])
        if self.collate_fn is default_collate:
            batch = list(batch)
            tensors, rows = _rows(self.dataset, batch)
            if tensors and rows and all([isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in rows]):
                return [t[rows] for t in tensors]
        return self.collate_fn([self.dataset[i] for i in batch])

    def __len__(self) -> int:
        """Batches per epoch."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        if self.sampler is not None:
            return len(self.sampler)  # type: ignore[arg-type]
        n = len(self.dataset)
        return n if self.batch_size is None else n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the loader is: plain numbers. Batches already given out count as done."""
        return {"epoch": self._epoch, "batch": self._batch, "start": self._start, "length": self._length(),
                "generator": None if self.generator is None else self.generator.get_state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there: the next ``for`` loop begins with the batch that would have come next."""
        parts = {"epoch", "batch", "start", "length", "generator"}
        if not isinstance(state_dict, Mapping) or set(state_dict) != parts:
            raise ValueError(f"DataLoader.load_state_dict: this is no state of a DataLoader: {state_dict!r:.200}")
        if state_dict["length"] != self._length():
            raise ValueError(f"DataLoader.load_state_dict: the state is of a loader with {state_dict['length']} batches per "
                             f"epoch, this one has {self._length()}: has the data changed, or batch_size?")
        if state_dict["start"] is not None:
            Generator().set_state(state_dict["start"])  # raises if it is no state
        if (state_dict["generator"] is None) != (self.generator is None):
            raise ValueError("DataLoader.load_state_dict: one of the two loaders has a generator of its own, the other has "
                             "not. Give both generator=..., or neither.")
        if self.generator is not None:
            self.generator.set_state(state_dict["generator"])
        self._epoch, self._batch, self._start = state_dict["epoch"], state_dict["batch"], state_dict["start"]
        self._resume = self._start is not None

    def _length(self) -> int | None:
        try:
            return len(self)
        except (TypeError, NotImplementedError):  # nobody knows how many there will be
            return None


def _behind(ahead, source):
    yield from ahead
    yield from source


def _check_positive(name, n):
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={n}")


def _what(x) -> str:
    return f"a tensor of shape {x.shape}" if isinstance(x, Tensor) else type(x).__name__
