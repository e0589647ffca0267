import argparse
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

import timm  # noqa: E402  # only where torch is
from torch import nn  # noqa: E402
from torchvision.models import resnet18, resnet34  # noqa: E402

from reid_pipeline.learning.backbones import ConvolutionStem, GeneralisedMean, build_backbone, guess_architecture  # noqa: E402
from reid_pipeline.learning.checkpoint_file import read_checkpoint  # noqa: E402
from reid_pipeline.learning.checkpoint_import import fill, import_checkpoint  # noqa: E402
from reid_pipeline.learning.osnet import WIDTHS, OsNet  # noqa: E402
from reid_pipeline.pipeline.encoder import GraphEncoder  # noqa: E402
from reid_pipeline.pipeline.model_import import NORMALISATIONS, ImportOptions  # noqa: E402
from reid_pipeline.storage.errors import ModelError  # noqa: E402
from reid_pipeline.storage.model_card import load_model  # noqa: E402
from tests.pipeline.builders import real_data  # noqa: E402

pytestmark = pytest.mark.learning

SMALL = ImportOptions(size=(64, 32))
CROP = np.random.default_rng(0).integers(0, 255, (64, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More threads than free processors make small networks many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def backbone():
    """A ResNet-18 with random weights and lively statistics of its batch normalisation."""
    torch.manual_seed(0)
    network = resnet18(weights=None)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    network.fc = nn.Identity()
    return network.eval()


def tensors_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def prefixed(tensors, prefix):
    return {prefix + key: value for key, value in tensors.items()}


def moco(tensors):
    """As the code of LUPerson saves it: both encoders with their projections, the queue, the optimiser."""
    head = {"fc.0.weight": torch.zeros(512, 512), "fc.2.weight": torch.zeros(128, 512)}
    state = prefixed(tensors | head, "module.encoder_q.") | prefixed(tensors, "module.encoder_k.")
    state |= {"module.queue": torch.zeros(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}


def luperson_nl(tensors):
    head = {"fc1.weight": torch.zeros(512, 512), "fc2.weight": torch.zeros(128, 512)}
    state = prefixed(tensors | head, "module.encoder_q.") | prefixed(tensors, "module.encoder_k.")
    state |= {"module.embed_fc.weight": torch.zeros(256, 512), "module.prototypes": torch.zeros(10, 128)}
    return {"state_dict": state}


def fast_reid(tensors):
    norm = {"weight": torch.ones(512), "bias": torch.zeros(512), "running_mean": torch.zeros(512)}
    norm["running_var"] = torch.linspace(0.5, 2, 512)
    heads = prefixed(norm, "heads.bottleneck.0.") | {"heads.weight": torch.zeros(751, 512)}
    return {"model": prefixed(tensors, "backbone.") | heads, "iteration": 1}


def torchreid(tensors):
    state = tensors | {"classifier.weight": torch.zeros(751, 512), "classifier.bias": torch.zeros(751)}
    return {"state_dict": prefixed(state, "module."), "epoch": 60, "rank1": 0.9, "optimizer": {}}


FORMS = {
    "moco.pth.tar": (moco, "MoCo", "lup"),
    "nl.pth.tar": (luperson_nl, "LUPerson-NL", "lupnl"),
    "lup_moco_r18.pth": (lambda tensors: tensors, "plain", "lup"),
    "imagenet.pth": (lambda tensors: tensors | {"fc.weight": torch.zeros(1000, 512)}, "plain", "imagenet"),
    "market.pth": (fast_reid, "fast-reid", "imagenet"),
    "model.pth.tar-60.pt": (torchreid, "plain", "imagenet"),
    "dino.pth": (
        lambda tensors: {
            "student": prefixed(tensors, "module.backbone."),
            "teacher": prefixed(tensors, "backbone.") | {"head.mlp.0.weight": torch.zeros(8, 512)},
            "args": argparse.Namespace(arch="resnet18"),
        },
        "DINO",
        "imagenet",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_published_form_is_recognised_and_matches(backbone, tmp_path, name):
    wrap, kind, normalise = FORMS[name]
    torch.save(wrap(tensors_of(backbone)), tmp_path / name)
    checkpoint = read_checkpoint(tmp_path / name)
    assert (checkpoint.kind, checkpoint.normalise) == (kind, normalise)
    assert guess_architecture(checkpoint.tensors) == "resnet18"
    network = build_backbone("resnet18", checkpoint, (64, 32))
    fill(network, checkpoint, name)
    for key, tensor in backbone.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], tensor)


def test_the_exported_encoder_gives_the_networks_embeddings(backbone, tmp_path):
    torch.save(tensors_of(backbone), tmp_path / "lup_r18.pth")
    model = import_checkpoint(
        tmp_path / "lup_r18.pth", tmp_path / "out", "r18", ImportOptions(size=(64, 32), licence="X")
    )
    scale, mean, std = NORMALISATIONS["lup"]
    pixels = (CROP[:, :, ::-1].astype(np.float32) * scale - mean) / np.array(std)
    with torch.inference_mode():
        expected = backbone(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))).numpy()[0]
    [found] = GraphEncoder(model).encode([CROP])
    assert float(found @ expected / np.linalg.norm(expected)) > 0.995
    assert (model.card.output.dim, model.card.licence, model.card.trained_on) == (512, "X", ("unknown",))


def test_options_overrule_what_the_kind_says(backbone, tmp_path):
    from safetensors.torch import save_file

    save_file(tensors_of(backbone), tmp_path / "r18.safetensors")
    options = ImportOptions(size=(64, 32), arch="resnet18", normalise="none", colour="BGR", trained_on=("dusk",))
    card = import_checkpoint(tmp_path / "r18.safetensors", tmp_path / "out", "r18", options).card
    assert (card.input.pixel_scale, card.input.colour, card.trained_on) == (1.0, "BGR", ("dusk",))


def test_fast_reid_changes_stem_last_stage_and_neck(backbone, tmp_path):
    content = fast_reid(tensors_of(backbone))
    content["model"]["heads.pool_layer.p"] = torch.tensor([3.0])
    torch.save(content, tmp_path / "market.pth")
    checkpoint = read_checkpoint(tmp_path / "market.pth")
    network = build_backbone("resnet18", checkpoint, (64, 32))
    assert network.maxpool.ceil_mode
    assert network.layer4[0].conv1.stride == network.layer4[0].downsample[0].stride == (1, 1)
    assert isinstance(network.avgpool, GeneralisedMean)
    torch.testing.assert_close(checkpoint.neck["running_var"], torch.linspace(0.5, 2, 512))
    fill(network, checkpoint, "it")


def test_the_power_mean_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]]]])
    assert float(GeneralisedMean(torch.tensor([3.0]))(maps)) == pytest.approx((9 / 2) ** (1 / 3))


# transformers


@pytest.mark.parametrize(("stem", "finetuned"), [(False, True), (True, False)])
def test_a_transformer_of_transreid_ssl(tmp_path, stem, finetuned):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=(128, 64))
    if stem:
        network.patch_embed = ConvolutionStem(192)
    tensors = tensors_of(network)
    if finetuned:
        content = prefixed(tensors, "base.") | {
            "bottleneck.weight": torch.ones(192),
            "classifier.weight": torch.ones(9, 192),
        }
    else:
        content = {"teacher": prefixed(tensors, "module.backbone.") | {"module.head.last.weight": torch.ones(9, 192)}}
    torch.save(content, tmp_path / "vit.pth")
    checkpoint = read_checkpoint(tmp_path / "vit.pth")
    assert guess_architecture(checkpoint.tensors) == "vit_tiny_patch16_224"
    assert checkpoint.normalise == ("half" if finetuned else "imagenet")
    rebuilt = build_backbone("vit_tiny_patch16_224", checkpoint, (128, 64))
    fill(rebuilt, checkpoint, "it")
    crops = torch.rand(1, 3, 128, 64)
    with torch.inference_mode():
        torch.testing.assert_close(rebuilt.eval()(crops), network.eval()(crops))


def test_the_size_of_a_transformer_is_read_from_its_positions(tmp_path):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=(64, 32), depth=1)
    torch.save(tensors_of(network), tmp_path / "vit.pth")
    with pytest.raises(ModelError, match="as vit_tiny_patch16_224") as caught:
        import_checkpoint(tmp_path / "vit.pth", tmp_path / "out", "vit", ImportOptions())
    assert "pos_embed" not in str(caught.value)
    assert "missing: blocks.1.norm1.weight" in str(caught.value)


# OSNet


@pytest.mark.parametrize("name", WIDTHS)
def test_an_osnet_is_told_by_its_width(name):
    assert guess_architecture(OsNet(WIDTHS[name]).state_dict()) == name


def test_an_osnet_of_torchreid_matches(tmp_path):
    tensors = tensors_of(OsNet(WIDTHS["osnet_x0_25"]))
    torch.save(torchreid(tensors), tmp_path / "osnet.pth.tar")
    checkpoint = read_checkpoint(tmp_path / "osnet.pth.tar")
    network = build_backbone("osnet_x0_25", checkpoint, (64, 32))
    fill(network, checkpoint, "it")
    torch.testing.assert_close(network.state_dict()["fc.0.weight"], tensors["fc.0.weight"])


@pytest.mark.data
def test_osnet_computes_what_the_published_graph_computes():
    """The graph has its batch normalisation folded into the layers; what it says is put back in order of use."""
    import onnx
    from onnx import numpy_helper

    folder = real_data("weights", "osnet_x0_25_msmt17")
    graph = onnx.load(str(folder / "osnet_x0_25_msmt17.onnx")).graph
    constants = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    given = [[constants[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    network = OsNet(WIDTHS["osnet_x0_25"]).eval()
    network.load_state_dict({key: value for key, value in constants.items() if key.startswith("fc.")}, strict=False)
    used = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            layer.register_forward_hook(lambda layer, *_: used.append(layer))
    network(torch.zeros(1, 3, 256, 128))
    places = [place for place, layer in enumerate(used) if isinstance(layer, nn.Conv2d)]
    for place, (weight, *bias) in zip(places, given, strict=True):
        used[place].weight.data = weight
        if used[place].bias is not None:
            used[place].bias.data = bias[0]
        elif bias:  # that of the normalisation behind it, which now does nothing but add it
            used[place + 1].bias.data = bias[0]
            used[place + 1].running_var.fill_(1 - used[place + 1].eps)
    crops = [np.random.default_rng(seed).integers(0, 255, (256, 128, 3)).astype(np.uint8) for seed in range(2)]
    scale, mean, std = NORMALISATIONS["imagenet"]
    pixels = [((crop[:, :, ::-1] * scale - mean) / np.array(std)).transpose(2, 0, 1) for crop in crops]
    with torch.inference_mode():
        expected = nn.functional.normalize(network(torch.tensor(np.array(pixels), dtype=torch.float32))).numpy()
    found = GraphEncoder(load_model(folder)).encode(crops)
    assert (found * expected).sum(axis=1).min() > 0.995


# refusals


def test_another_depth_does_not_match(tmp_path, backbone):
    torch.save(tensors_of(backbone), tmp_path / "r18.pth")
    options = ImportOptions(size=(64, 32), arch="resnet34")
    with pytest.raises(
        ModelError, match=r"as resnet34: \d+\.\d% of its tensors fit, expected 99%: \d+ missing: layer1\.2"
    ):
        import_checkpoint(tmp_path / "r18.pth", tmp_path / "out", "r18", options)
    torch.save(resnet34(weights=None).state_dict(), tmp_path / "r34.pth")
    with pytest.raises(ModelError, match=r"as resnet18: .* unknown: layer1\.2"):
        import_checkpoint(tmp_path / "r34.pth", tmp_path / "out", "r", ImportOptions(arch="resnet18"))
    assert not (tmp_path / "out").exists()


def test_another_width_names_both_shapes(tmp_path, backbone):
    tensors = tensors_of(backbone)
    tensors["layer4.1.conv2.weight"] = tensors["layer4.1.conv2.weight"][:, :256].clone()
    torch.save(tensors, tmp_path / "r18.pth")
    with pytest.raises(
        ModelError, match=r"of another shape: layer4\.1\.conv2\.weight \[512, 256, 3, 3\] for \[512, 512"
    ):
        import_checkpoint(tmp_path / "r18.pth", tmp_path / "out", "r18", SMALL)


def test_a_wrong_prefix_fails_instead_of_loading_nothing(tmp_path, backbone):
    torch.save(prefixed(tensors_of(backbone), "student_net."), tmp_path / "r18.pth")
    with pytest.raises(ModelError, match=r"architecture is not recognised \(tensors student_net\.conv1.*--arch"):
        import_checkpoint(tmp_path / "r18.pth", tmp_path / "out", "r18", SMALL)
    with pytest.raises(ModelError, match=r"0\.0% of its tensors fit"):
        import_checkpoint(tmp_path / "r18.pth", tmp_path / "out", "r18", ImportOptions(arch="resnet18"))


def test_an_unknown_architecture(tmp_path, backbone):
    torch.save(tensors_of(backbone), tmp_path / "r18.pth")
    with pytest.raises(ModelError, match="--arch resnet19: not an architecture"):
        import_checkpoint(tmp_path / "r18.pth", tmp_path / "out", "r18", ImportOptions(arch="resnet19"))


def test_an_architecture_of_timm(tmp_path):
    network = timm.create_model("mobilenetv4_conv_small_035", num_classes=5)
    torch.save(tensors_of(network), tmp_path / "small.pth")
    checkpoint = read_checkpoint(tmp_path / "small.pth")
    fill(build_backbone("mobilenetv4_conv_small_035", checkpoint, (64, 32)), checkpoint, "it")


class Harmful:
    """Does something when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_pickle_is_not_loaded_without_trust(tmp_path, backbone, capsys, caplog):
    torch.save({"state_dict": tensors_of(backbone), "extra": Harmful()}, tmp_path / "r18.pth")
    with pytest.raises(ModelError, match="could run any code: add --trust if you trust its origin") as caught:
        read_checkpoint(tmp_path / "r18.pth")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
    assert read_checkpoint(tmp_path / "r18.pth", trust=True).kind == "plain"
    assert capsys.readouterr().out == "unpickled\n"
    assert "loaded as a pickle, which can run any code" in caplog.text


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps({"a": 1})])
@pytest.mark.parametrize("trust", [False, True])
def test_what_is_no_checkpoint_is_one_line(tmp_path, content, trust):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(tmp_path / "x.pth", trust=trust)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_tensors(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="holds no tensors by name"):
        read_checkpoint(tmp_path / "x.pth")
    (tmp_path / "x.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_checkpoint(tmp_path / "x.safetensors")
