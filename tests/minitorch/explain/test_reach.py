"""check_grads: every way to lose a gradient is found and named; whole models pass."""

import pytest

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import autograd
from minitorch.explain import check_grads

IDS, Y = torch.tensor([[1, 2, 0, 3]]), torch.tensor([0, 1, 2, 3])
BELOW = ["embed.weight", "encoder.weight", "encoder.bias"]


@pytest.fixture(autouse=True)
def seeded_and_clean():
    torch.manual_seed(0)
    yield
    assert autograd.observers == []


class Model(nn.Module):
    """Embedding, a layer, something in between, a layer."""

    def __init__(self, between=lambda h: h):
        super().__init__()
        self.embed, self.encoder, self.head = nn.Embedding(5, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.between = between

    def forward(self, ids):
        return self.head(self.between(self.encoder(self.embed(ids))))


def report_of(model):
    return check_grads(model, lambda: F.cross_entropy(model(IDS).flatten(0, 1), Y))


def words(report):
    return " ".join(str(report).split())


def no_grad(h):
    with torch.no_grad():
        return h * 2


def detach(h):
    y = h.relu().detach()
    return y + 1


STOPS = {  # what is done in between → the words that say where the path stops
    "detach": (detach, "stops after ReLU in Model", "Add in Model took it as plain numbers", "return y + 1"),
    ".data": (lambda h: torch.from_numpy(h.data), "stops after Linear in module encoder",
              "Linear in module head took it as plain numbers: .detach() or .data cut it off"),
    "a view of .data": (lambda h: torch.from_numpy(h.data[:, ::-1]), "Linear in module head took it as plain numbers"),
    "a copy in NumPy": (lambda h: torch.tensor(h.detach().numpy() * 2), "stops after Linear in module encoder",
                        "it left the graph through .numpy(), .item() or .tolist()"),
    "no_grad": (no_grad, "stops after Linear in module encoder", "Mul in Model ran under no_grad()", "return h * 2"),
    "argmax": (lambda h: F.one_hot(h.argmax(-1), 8).float(), "stops after Linear in module encoder",
               "argmax in Model gives whole numbers or yes and no"),
    "a comparison": (lambda h: (h > 0).float(), "gt in Model gives whole numbers or yes and no"),
    "a cast": (lambda h: h.long().float(), "Cast in Model gives whole numbers or yes and no"),
    "rounding down": (lambda h: h // 1, "floor_divide in Model has no derivative"),
}


@pytest.mark.parametrize("how", STOPS)
def test_where_the_path_stops(how):
    between, *texts = STOPS[how]
    report = report_of(Model(between))
    assert not report and report.missing == BELOW and report.zero == [] and report.reached == ["head.weight", "head.bias"]
    for text in ["no gradient reached 3 of 5 parameters", "embed.weight, encoder.weight, encoder.bias", *texts]:
        assert text in words(report), text


def test_a_whole_model_passes():
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    source, target = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    report = check_grads(model, lambda: (model(source, target) ** 2).mean())
    assert report and len(report.reached) == len(list(model.parameters()))
    assert str(report) == f"check_grads: a gradient reached all {len(report.reached)} parameters"


def test_parameters_that_no_op_used():
    model = Model()
    model.spare = nn.Linear(2, 2)
    report = report_of(model)
    assert report.missing == ["spare.weight", "spare.bias"] and "because no op used it" in words(report)


def test_a_result_that_is_not_used():
    model = Model()
    model.aside = nn.Linear(8, 2)
    model.between = lambda h: (model.aside(h), h)[1]
    report = report_of(model)
    assert report.missing == ["aside.weight", "aside.bias"]
    assert "stops after Linear in module aside" in words(report) and "nothing used that result" in words(report)


def test_a_parameter_used_through_its_data():
    model = Model()
    model.scale = nn.Parameter(torch.ones(8))
    model.between = lambda h: h * model.scale.detach()
    report = report_of(model)
    assert report.missing == ["scale"] and "Mul in Model took it as plain numbers" in words(report)


def test_frozen_ones_are_listed_apart():
    model = Model()
    model.embed.requires_grad_(False)
    report = report_of(model)
    assert report and report.frozen == ["embed.weight"] and "4 parameters; 1 are frozen" in str(report)
    model.between = detach
    report = report_of(model)
    assert report.missing == BELOW[1:] and "frozen embed.weight" in words(report)


def test_one_path_is_enough():
    assert report_of(Model(lambda h: h + h.detach() + (h > 0) * h + no_grad(h)))


def test_a_tied_weight_is_named_once():
    model = Model()
    model.head = nn.Linear(8, 5, bias=False)
    model.head.weight = model.embed.weight
    assert report_of(model).reached == BELOW
    model.between = detach
    assert report_of(model).missing == BELOW[1:]


# ---------------------------------------------------------------------------------------------------------------------
# gradients that are 0 everywhere

@pytest.mark.parametrize("between, where, why", [
    (lambda h: (h - 1000).relu(), "ReLU in Model", "none of its inputs is above 0"),
    (lambda h: h * 0, "Mul in Model", "its other input is 0 everywhere"),
    (lambda h: h * torch.zeros(8), "Mul in Model", "its other input is 0 everywhere"),
    (lambda h: h.clamp(-1000, -999), "Clamp in Model", ""),
])
def test_gradients_of_zero(between, where, why):
    report = report_of(Model(between))
    assert not report and report.missing == [] and set(BELOW) <= set(report.zero)
    assert f"becomes 0 in {where}, test_reach.py" in words(report) and why in words(report)


def test_a_zero_weight_stops_the_gradient_of_what_is_before_it():
    model = Model()
    torch.nn.init.zeros_(model.head.weight)
    report = report_of(model)
    assert report.zero == BELOW
    assert "becomes 0 in Linear in module head" in words(report) and "its other input is 0 everywhere" in words(report)


def test_ways_that_cancel():
    report = report_of(Model(lambda h: h - 1.0 * h))
    assert report.zero[:3] == BELOW and "cancel exactly" in words(report)


# ---------------------------------------------------------------------------------------------------------------------
# manners

def test_the_loss_itself_instead_of_a_function():
    model = Model(detach)
    loss = F.cross_entropy(model(IDS).flatten(0, 1), Y)
    report = check_grads(model, loss)
    assert report.missing == BELOW and "pass a function instead of the loss" in words(report)
    loss.backward()  # its graph is still there
    model.between = lambda h: h * 0
    assert "becomes 0 in Mul" in words(check_grads(model, model(IDS).sum()))


def test_a_loss_that_is_cut_off_altogether():
    model = Model()
    report = check_grads(model, lambda: model(IDS).sum().detach())
    assert len(report.missing) == 5 and report.reached == []


def test_nothing_changes():
    model = Model()
    loss = F.cross_entropy(model(IDS).flatten(0, 1), Y)
    loss.backward()
    before = [p.grad for p in model.parameters()]
    model.between = nn.Dropout(0.5)
    state = torch.default_generator.get_state()
    report_of(model)
    assert torch.default_generator.get_state() == state
    assert all(p.grad is g for p, g in zip(model.parameters(), before))


def test_inside_no_grad():
    with torch.no_grad():
        assert report_of(Model())


def test_deep():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(300)])
    report = check_grads(model, lambda: model[150:](model[:150](torch.ones(1, 4)).detach()).sum())
    assert len(report.missing) == 300 and "Linear in module 0" not in words(report)


@pytest.mark.parametrize("model, loss, words", [
    (lambda x: x, lambda: None, "model must be a Module, got function"),
    (nn.Linear(1, 1), nn.MSELoss(), "loss must be a function without arguments"),
    (nn.Linear(1, 1), 3.0, "got float"),
    (nn.Linear(1, 1), lambda: 3.0, "loss should return a Tensor, got float"),
    (nn.Linear(1, 1), lambda: torch.ones(2), "the loss should be one number, got shape (2,)"),
])
def test_bad_input(model, loss, words):
    with pytest.raises((TypeError, RuntimeError)) as caught:
        check_grads(model, loss)
    assert str(caught.value).startswith("check_grads: ") and words in str(caught.value)
