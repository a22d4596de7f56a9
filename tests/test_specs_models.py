"""The 35 rows against the paper's tables, and the structures against its Figs 6 to 8."""

import pytest
import torch
from torch.nn import functional

from xray import models
from xray.specs import (
    CHANGES,
    EQUALISED,
    KNOWN,
    LEARNING_RATE_SEARCH,
    MODELS,
    TABLE_3,
    VARIANTS,
    matched_step,
)

# Tables 1 and 2 read column by column, so that a slip in the specs' rows cannot be a slip here too.
IDS = [str(i) for i in range(26)] + [f"{i}b" for i in range(20, 29)]
LINEAR = ["0", "1", "2", "3", "4", "14", "17", "20", "23", "20b", "23b", "27b"]
MLP = ["5", "6", "7", "8", "9", "15", "18", "21", "24", "21b", "24b", "28b"]
UNITS_5, UNITS_20 = ["3", "8", "10"], ["4", "9", "12"]
WEIGHTED = ["14", "15", "16", "17", "18", "19", "23", "24", "25", "23b", "24b", "25b"]
ADAM = ["17", "18", "19"]


@pytest.mark.parametrize("name", IDS)
def test_spec_is_the_papers_row(name):
    spec = MODELS[name]
    number = int(name.rstrip("b"))
    assert spec.id == name
    assert spec.family == ("Linear" if name in LINEAR else "Linear+ReLU" if name in MLP else "CNN")
    assert spec.hidden_layers == (
        5 if spec.family == "CNN" else {"1": 2, "2": 3, "6": 2, "7": 3}.get(name, 1)
    )
    assert spec.hidden_units == (5 if name in UNITS_5 else 20 if name in UNITS_20 else 10)
    assert spec.kernel_size == (None if spec.family != "CNN" else 5 if name == "13" else 3)
    assert spec.class_weight == (name in WEIGHTED)
    assert spec.optimizer == ("Adam" if name in ADAM else "SGD")
    assert spec.learning_rate == (1e-2 if spec.family == "CNN" and name != "19" else 1e-4)
    assert spec.epochs == (60 if name.endswith("b") else 50 if number >= 20 else 10)
    assert spec.batch_size == (64 if name.endswith("b") else 32)
    assert spec.weight_decay == (0.1 if name in ("26b", "27b", "28b") else 0)


def test_there_are_35_models_1040_epochs_and_eight_more_for_the_search():
    assert list(MODELS) == IDS
    assert sum(spec.epochs for spec in MODELS.values()) == 1040
    assert {(spec.hidden_layers, spec.learning_rate) for spec in LEARNING_RATE_SEARCH.values()} == {
        (layers, rate) for layers in (2, 3) for rate in (1e-1, 1e-2, 1e-3, 1e-5)
    }


def test_each_row_of_table_3_differs_from_the_one_before_in_what_it_says():
    for name, (before, change) in CHANGES.items():
        old, new = KNOWN[before].__dict__, TABLE_3[name].__dict__
        assert {key for key in new if new[key] != old[key]} - {"id"} <= change.keys()
        assert all(new[key] == value for key, value in change.items())
    assert len(KNOWN) == 35 + 8 + len(VARIANTS) + len(TABLE_3) + len(EQUALISED)


def test_table_3_keeps_to_small_nets_and_only_what_it_says_has_batch_norm():
    for name, spec in TABLE_3.items():
        model = models.build(spec, spec.image_size, device="meta")
        if name != "38":
            assert models.parameter_count(model) < 1_000_000
        assert any("BatchNorm" in layer for layer in layers(model)) == spec.batch_norm
        assert models.build(spec, 32)(torch.rand(3, 1, 32, 32)).shape == (3,)
    assert layers(models.build(TABLE_3["38"], 8)) == layers(models.build(MODELS["28b"], 8))[:-1]


def test_a_resnet_has_no_weight_per_pixel_so_its_step_is_the_same_at_any_size():
    assert matched_step(TABLE_3["36"], 64) == 1
    assert matched_step(TABLE_3["31"], 32) == 4 and matched_step(MODELS["26b"], 64) == 100
    with pytest.raises(ValueError, match="multiple of 16"):
        models.build(TABLE_3["36"], 24)


def layers(module):
    return [str(layer) for layer in module.modules() if not list(layer.children())]


def test_structure_of_fig_6_and_its_size():
    model = models.build(MODELS["20"], 640, device="meta")
    assert layers(model) == [
        "Flatten(start_dim=1, end_dim=-1)",
        "Linear(in_features=409600, out_features=10, bias=True)",
        "Linear(in_features=10, out_features=1, bias=True)",
    ]
    assert models.parameter_count(model) == 4_096_021


def test_structure_of_fig_7_ends_in_a_relu():
    assert layers(models.build(MODELS["21"], 640, device="meta"))[1:] == [
        "Linear(in_features=409600, out_features=10, bias=True)",
        "ReLU()",
        "Linear(in_features=10, out_features=1, bias=True)",
        "ReLU()",
    ]


def test_structure_of_fig_8_and_its_size():
    model = models.build(MODELS["11"], 640, device="meta")
    pool = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    second = "Conv2d(10, 10, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"
    assert layers(model) == [
        "Conv2d(1, 10, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        "ReLU()",
        second,
        "ReLU()",
        pool,
        second,
        "ReLU()",
        second,
        "ReLU()",
        pool,
        "Flatten(start_dim=1, end_dim=-1)",
        "Linear(in_features=256000, out_features=1, bias=True)",
    ]
    assert models.parameter_count(model) == 258_831


def test_pooling_before_the_relu_is_fig_8s_order_bit_for_bit():
    model = models.build(MODELS["11"], 20, seed=1)
    # many blocks wholly below 0
    images = torch.rand(16, 1, 20, 20, generator=torch.Generator().manual_seed(0)) - 0.5
    images[0] = 0

    def output_and_gradients(forward):
        model.zero_grad()
        logits = forward(images)
        logits.square().sum().backward()
        return [logits.detach()] + [parameter.grad.clone() for parameter in model.parameters()]

    def of_fig_8(x):
        for first, _, second, _, _ in (model.block_1, model.block_2):
            x = functional.max_pool2d(functional.relu(second(functional.relu(first(x)))), 2)
        return model.classifier(x).squeeze(1)

    ours, papers = output_and_gradients(model), output_and_gradients(of_fig_8)
    assert all(torch.equal(a, b) for a, b in zip(ours, papers, strict=True))
    assert all(gradient.any() for gradient in ours)


def test_kernel_5_keeps_the_size():
    model = models.build(MODELS["13"], 16)
    assert model.block_1(torch.zeros(1, 1, 16, 16)).shape == (1, 10, 8, 8)


@pytest.mark.parametrize("name", ["2", "7", "12", "13"])
def test_any_multiple_of_4_gives_one_logit_an_image(name):
    for size in (4, 20):
        assert models.build(MODELS[name], size)(torch.rand(3, 1, size, size)).shape == (3,)


@pytest.mark.parametrize("size", [0, -4, 2, 30])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="multiple of 4"):
        models.build(MODELS["20"], size)


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    first = models.build(MODELS["20"], 8, seed=3).state_dict()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again, other = models.build(MODELS["21"], 8, seed=3), models.build(MODELS["20"], 8, seed=4)
    # global state is neither read nor moved
    assert torch.equal(torch.random.get_rng_state(), before)
    weight = first["layer_stack.1.weight"]
    # Linear and MLP start alike
    assert torch.equal(weight, again.state_dict()["layer_stack.1.weight"])
    assert not torch.equal(weight, other.state_dict()["layer_stack.1.weight"])
    # U(-1/sqrt(64), 1/sqrt(64))
    assert weight.abs().max() <= 1 / 8 and weight.abs().max() > 0.9 / 8
