"""Datasets, samplers and the loader: PyTorch's batches, a reproducible order, and going on in the middle of an epoch."""

import collections
import json

import numpy as np
import pytest

import minitorch
from minitorch.utils import data

Point = collections.namedtuple("Point", "x y")


def seeded(seed):
    return minitorch.Generator().manual_seed(seed)


def lists(batches):
    return [batch.tolist() for batch in batches]


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(7))


def test_tensor_dataset():
    x, y = minitorch.arange(10).reshape(5, 2), np.arange(5)
    dataset = data.TensorDataset(x, y)
    assert len(dataset) == 5 and dataset[3][0].tolist() == [6, 7] and dataset[-1][1].item() == 4
    with pytest.raises(ValueError, match="as many rows"):
        data.TensorDataset(x, np.arange(4))
    with pytest.raises(TypeError, match="argument 0 should be a tensor of one or more axes, got list"):
        data.TensorDataset([1, 2])
    with pytest.raises(TypeError, match="got a tensor of shape"):
        data.TensorDataset(minitorch.tensor(1.0))


def test_subset_concat_and_sum():
    both = data.Subset(range(10), [3, 5]), data.Subset(range(100, 110), [1])
    whole = data.ConcatDataset(both)
    assert [whole[i] for i in range(len(whole))] == [3, 5, 101] and whole[-1] == 101 and whole[-3] == 3
    with pytest.raises(IndexError):
        whole[3]
    dataset = data.TensorDataset(np.arange(3))
    assert len(dataset + dataset) == 6


@pytest.mark.parametrize("lengths, expected", [
    ([3, 7], [3, 7]), ([0.5, 0.5], [5, 5]), ([0.33, 0.33, 0.34], [4, 3, 3]), ([1.0], [10]), ([10, 0], [10, 0]),
    ([0.999, 0.001], [10, 0]),
])
def test_random_split(lengths, expected):
    parts = data.random_split(range(10), lengths, generator=seeded(1))
    assert [len(part) for part in parts] == expected
    assert sorted(x for part in parts for x in (part[i] for i in range(len(part)))) == list(range(10))
    again = data.random_split(range(10), lengths, generator=seeded(1))
    assert [part.indices for part in again] == [part.indices for part in parts]


@pytest.mark.parametrize("lengths", [[3, 3], [11], [12, -2], [0.5, 0.6], [1.5, -0.5]])
def test_random_split_refuses(lengths):
    with pytest.raises(ValueError, match="random_split"):
        data.random_split(range(10), lengths)


def test_samplers():
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    order = list(data.RandomSampler(range(50), generator=seeded(0)))
    assert sorted(order) == list(range(50)) and order != sorted(order)
    assert len(list(data.RandomSampler(range(3), num_samples=8))) == len(data.RandomSampler(range(3), num_samples=8)) == 8
    assert set(data.RandomSampler(range(3), replacement=True, num_samples=100)) == {0, 1, 2}
    assert list(data.RandomSampler([])) == []
    assert sorted(data.SubsetRandomSampler([4, 9, 2])) == [2, 4, 9]
    counts = np.bincount(list(data.WeightedRandomSampler([1, 0, 3], 4000, generator=seeded(3))), minlength=3)
    assert counts[1] == 0 and abs(counts[2] / 4000 - 0.75) < 0.03
    for wrong in ([], [0.0], [-1, 2], [np.nan], [np.inf, 1], [[1, 2]]):
        with pytest.raises(ValueError):
            data.WeightedRandomSampler(wrong, 2)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError):
            data.BatchSampler(range(3), wrong, False)
        with pytest.raises(ValueError):
            data.RandomSampler(range(3), num_samples=wrong)


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize("size, drop", [(1, False), (1, True), (4, False), (4, True), (9, False), (9, True), (None, False)])
def test_batches_are_pytorchs(torch, n, size, drop):
    theirs = torch.utils.data.DataLoader(range(n), size, drop_last=drop)
    ours = data.DataLoader(range(n), size, drop_last=drop)
    assert len(ours) == len(theirs)
    assert [np.asarray(batch).tolist() for batch in ours] == [np.asarray(batch).tolist() for batch in theirs]


SAMPLES = [
    3, True, 2.5, "text", b"bytes", np.float32(1.5), np.int16(4), {"a": 1, "b": [2.0, "x"]}, (1, (2, 3.0)),
    Point(1, 2.0), [[], ()],
]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_collating_is_pytorchs(torch, sample):
    def plain(x):
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x).__name__, [plain(value) for value in x]
        return (str(x.dtype).removeprefix("torch."), x.tolist()) if hasattr(x, "dtype") else x

    assert plain(data.default_collate([sample, sample])) == plain(torch.utils.data.default_collate([sample, sample]))


def test_collating_arrays():
    batch = data.default_collate([{"x": np.ones((2, 3), "float32"), "y": minitorch.zeros(2)}] * 4)
    assert batch["x"].shape == (4, 2, 3) and batch["x"].dtype == minitorch.float32 and batch["y"].shape == (4, 2)
    with pytest.raises(minitorch.ShapeError, match=r"shapes \(2,\), \(3,\) do not stack. Pad them"):
        data.default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(TypeError, match="found object"):
        data.default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([(1, 2), (1,)])


def test_the_same_seed_gives_the_same_batches():
    loader = data.DataLoader(range(20), 3, shuffle=True, generator=seeded(5))
    first, second = lists(loader), lists(loader)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(20))
    again = data.DataLoader(range(20), 3, shuffle=True, generator=seeded(5))
    assert [lists(again), lists(again)] == [first, second]
    minitorch.manual_seed(6)
    first = lists(data.DataLoader(range(20), 3, shuffle=True))
    minitorch.manual_seed(6)
    assert lists(data.DataLoader(range(20), 3, shuffle=True)) == first


def loaders(make_generator):
    yield lambda: data.DataLoader(range(20), 3, shuffle=True, generator=make_generator())
    yield lambda: data.DataLoader(range(20), 3, sampler=data.RandomSampler(range(20), True, 17, make_generator()))
    yield lambda: data.DataLoader(range(20), None, shuffle=True, generator=make_generator())
    yield lambda: data.DataLoader(range(20), batch_sampler=data.BatchSampler(
        data.SubsetRandomSampler(list(range(3, 20)), make_generator()), 2, True))
    yield lambda: data.DataLoader(range(20), 6)
    yield lambda: data.DataLoader(Stream(), 2)
    yield lambda: data.DataLoader(Stream(), None)


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("own", [True, False], ids=["own generator", "default generator"])
def test_going_on_in_the_middle_of_an_epoch(which, own):
    make_generator = (lambda: minitorch.Generator()) if own else (lambda: None)
    make = list(loaders(make_generator))[which]

    def numbers(batch):
        minitorch.rand(2)  # as dropout would, between batches
        return np.asarray(batch).tolist()

    loader = make()
    total = [numbers(batch) for _ in range(2) for batch in make()]
    for stop in (0, 1, 2, len(total) // 2, len(total) // 2 + 1):
        loader, seen = make(), 0
        straight, state = [], None
        while len(straight) < stop + 9:
            for batch in loader:
                straight.append(numbers(batch))
                seen += 1
                if seen == stop:
                    state = json.loads(json.dumps(loader.state_dict())), minitorch.default_generator.get_state()
            if stop == 0 and state is None:
                state = json.loads(json.dumps(loader.state_dict())), minitorch.default_generator.get_state()
                straight, seen = [], 1
        minitorch.manual_seed(99)
        other = make()
        other.load_state_dict(state[0])
        minitorch.default_generator.set_state(state[1])
        rest = []
        while len(rest) < 9:
            rest += [numbers(batch) for batch in other]
        assert rest[:9] == straight[stop:stop + 9], stop


def test_a_state_that_is_none_is_refused():
    loader = data.DataLoader(range(4), generator=seeded(1))
    with pytest.raises(ValueError, match="no state of a DataLoader"):
        loader.load_state_dict({"epoch": 0})
    with pytest.raises(ValueError, match="no state of a DataLoader: None"):
        loader.load_state_dict(None)
    with pytest.raises(ValueError, match="one of the two loaders has a generator of its own"):
        loader.load_state_dict(data.DataLoader(range(4)).state_dict())
    with pytest.raises(ValueError, match="4 batches per epoch, this one has 5: has the data changed"):
        data.DataLoader(range(5), generator=seeded(1)).load_state_dict(loader.state_dict())
    with pytest.raises((ValueError, KeyError, TypeError)):
        loader.load_state_dict({**loader.state_dict(), "start": {"seed": 1, "bit_generator": {"bit_generator": "MT19937"}}})


def test_settings_that_exclude_each_other():
    for settings in ({"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]], "batch_size": 2}, {"batch_size": 0},
                     {"batch_size": 2.0}, {"batch_sampler": [[0]], "drop_last": True},
                     {"batch_size": None, "drop_last": True}):
        with pytest.raises(ValueError):
            data.DataLoader(range(4), **settings)
    with pytest.raises(ValueError, match="IterableDataset"):
        data.DataLoader(Stream(), shuffle=True)
    with pytest.warns(UserWarning, match="num_workers=2 is ignored"):
        data.DataLoader(range(4), num_workers=2)
    with pytest.raises(NotImplementedError, match="write __getitem__"):
        next(iter(data.DataLoader(data.Dataset(), sampler=[0])))


def test_a_batch_of_rows_is_what_collating_them_gives():
    """Rows of tensors are taken all at once; whoever changes what a sample is, is asked for every sample."""
    class Doubled(data.TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * t for t in super().__getitem__(index))

    x, y = minitorch.arange(30.0).reshape(10, 3), minitorch.arange(10)
    whole = data.TensorDataset(x, y)
    part = data.Subset(data.Subset(whole, [7, 1, -1, 4]), minitorch.tensor([3, 0, 1]))
    for dataset in whole, part, Doubled(x, y), data.Subset(Doubled(x, y), [3, 5]), data.ConcatDataset([whole, part]):
        for numbers in [[0, 1], [1, 0, 1, -1], [np.int64(1)], [minitorch.tensor(1), 0], [slice(0, 1), slice(1, 2)]]:
            if isinstance(numbers[0], slice) and dataset is not whole:
                continue
            batch, = data.DataLoader(dataset, batch_sampler=[numbers])
            want = data.default_collate([dataset[i] for i in numbers])
            assert type(batch) is list and [b.tolist() for b in batch] == [w.tolist() for w in want]
            assert [b.dtype for b in batch] == [w.dtype for w in want]
    with pytest.raises(IndexError):
        next(iter(data.DataLoader(whole, batch_sampler=[[0, 10]])))
    x.requires_grad_()
    next(iter(data.DataLoader(whole, 4)))[0].sum().backward()
    assert x.grad[:, 0].tolist() == [1] * 4 + [0] * 6


def test_a_collate_function_of_your_own():
    assert list(data.DataLoader(range(5), 2, collate_fn=sum)) == [1, 5, 4]
