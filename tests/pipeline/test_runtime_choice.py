import logging
import threading

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from reid_pipeline.pipeline import runtime_choice
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.parity import EncoderTrial, Verdict, shipped_crops
from reid_pipeline.pipeline.runtime import Engine, cache_folder
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions, choose_runtime, measure, remembered_choices
from reid_pipeline.pipeline.runtime_engines import Graph, build_runtime, gpu_names
from reid_pipeline.pipeline.runtime_openvino import native_engine, read_graph
from reid_pipeline.pipeline.runtime_requests import BatchingRuntime
from reid_pipeline.pipeline.runtime_serving import ServingRuntime
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import determinants, mean_colour_encoder, write_card

SIZE = (16, 8)
ONNX_RUNTIME = Engine("onnxruntime", "f32")
NATIVE = native_engine()
PIXELS = np.random.default_rng(0).integers(0, 255, (1, *SIZE, 3)).astype(np.uint8)


def costs(monkeypatch, **seconds):
    """Sets what each runtime is measured to take."""
    monkeypatch.setattr(runtime_choice, "measure", lambda runtime, _: seconds[runtime.engine.runtime])


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    costs(monkeypatch, openvino=1, onnxruntime=2)


@pytest.fixture
def path(tmp_path):
    return mean_colour_encoder(tmp_path / "model" / "colours.onnx", SIZE)


def make_graph(path, read_from=None, model_hash="hash"):
    model = load_model(write_card(path))
    network = read_graph(read_from or path)
    return Graph(model, model_hash, model.card.input, SIZE, network.clone if network else None)


class Trials:
    """Makes the trial and counts how often."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return EncoderTrial(tuple(crop[:: 128 // 16, :: 64 // 8][None].copy() for crop in shipped_crops()))


def perturbed(path, **changes):
    """The graph with other weights, beside it."""
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name in changes:
            tensor.CopyFrom(numpy_helper.from_array(changes[tensor.name].astype(np.float32), tensor.name))
    onnx.save(model, str(path.with_name("broken.onnx")))
    return path.with_name("broken.onnx")


# The fastest, measured once


@pytest.mark.parametrize(
    ("openvino", "onnxruntime", "chosen"), [(1, 0.95, NATIVE), (1, 0.5, ONNX_RUNTIME), (1, 3, NATIVE)]
)
def test_the_preferred_runtime_serves_unless_another_is_clearly_faster(
    path, monkeypatch, openvino, onnxruntime, chosen
):
    costs(monkeypatch, openvino=openvino, onnxruntime=onnxruntime)
    assert choose_runtime(make_graph(path), Trials()).engine == chosen


def test_the_choice_is_remembered(path, monkeypatch):
    costs(monkeypatch, openvino=1, onnxruntime=0.5)
    trials = Trials()
    first = choose_runtime(make_graph(path), trials)
    costs(monkeypatch)  # measuring again would fail
    assert choose_runtime(make_graph(path), trials).engine == first.engine == ONNX_RUNTIME
    assert trials.made == 1
    (choice,) = remembered_choices()
    assert (choice.model, choice.size, choice.engine) == ("colours", SIZE, ONNX_RUNTIME)
    assert {each.engine: each.image_s for each in choice.tried} == {NATIVE: 1, ONNX_RUNTIME: 0.5}
    assert "openvino" in str(choice)


@pytest.mark.parametrize("changed", ["hash", "version", "device", "wanted"])
def test_it_is_measured_again_when_anything_it_depends_on_changes(path, monkeypatch, changed):
    trials = Trials()
    choose_runtime(make_graph(path), trials)
    if changed == "version":
        monkeypatch.setattr(runtime_choice, "library_version", lambda name: f"{name} of tomorrow")
    if changed == "device":
        monkeypatch.setattr(runtime_choice, "device_name", lambda engine: "another processor")
    wanted = "openvino" if changed == "wanted" else "auto"
    choose_runtime(make_graph(path, model_hash="other" if changed == "hash" else "hash"), trials, wanted)
    assert trials.made == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"engine": 3}'])
def test_a_damaged_memory_is_measured_again(path, content):
    trials = Trials()
    choose_runtime(make_graph(path), trials)
    (file,) = (cache_folder() / "runtimes").glob("*.json")
    file.write_bytes(content)
    choose_runtime(make_graph(path), trials)
    assert trials.made == 2
    assert len(remembered_choices()) == 1


def test_a_remembered_engine_that_no_longer_works_is_chosen_anew(path, caplog):
    choose_runtime(make_graph(path), Trials())
    (file,) = (cache_folder() / "runtimes").glob("*.json")
    text = file.read_text()
    file.write_text(text.replace('"runtime": "openvino"', '"runtime": "torch"').replace('"bf16"', '"f32"'))
    assert choose_runtime(make_graph(path), Trials()).engine in {NATIVE, ONNX_RUNTIME}
    assert "no longer works" in caplog.text


def test_a_cache_that_cannot_be_written_is_no_obstacle(path, tmp_path, caplog):
    (tmp_path / "cache" / "reid-pipeline").mkdir(parents=True)
    (tmp_path / "cache" / "reid-pipeline" / "runtimes").write_text("a file")
    assert choose_runtime(make_graph(path), Trials(), "onnxruntime").engine == ONNX_RUNTIME
    assert "measured again next time" in caplog.text


# No engine serves that disagrees


@pytest.mark.parametrize(
    "mixing",
    [np.eye(3)[::-1], np.eye(3) * [1, 1, 0.8], np.eye(3) * np.nan],
    ids=["channels swapped", "one weight", "no numbers"],
)
def test_a_broken_engine_is_refused_and_another_serves(path, caplog, mixing):
    caplog.set_level(logging.INFO)
    broken = perturbed(path, mixing=mixing)
    runtime = choose_runtime(make_graph(path, read_from=broken), Trials())
    assert runtime.engine == ONNX_RUNTIME
    expected = PIXELS[..., ::-1].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(runtime.start(PIXELS).result(), expected, rtol=1e-5)
    assert f"colours: {NATIVE} is refused: disagrees with the reference" in caplog.text
    assert not any(each.agrees for each in remembered_choices()[0].tried if each.engine.runtime == "openvino")


def test_a_broken_engine_that_was_asked_for_is_refused_too(path, caplog):
    broken = perturbed(path, mixing=np.eye(3)[::-1])
    assert choose_runtime(make_graph(path, read_from=broken), Trials(), "openvino").engine == ONNX_RUNTIME
    assert "colours: onnxruntime f32 on cpu serves in place of what is refused" in caplog.text


def test_onnx_runtime_is_judged_by_openvino(path):
    broken = perturbed(path, mixing=np.eye(3)[::-1])
    assert choose_runtime(make_graph(path, read_from=broken), Trials(), "onnxruntime").engine.runtime == "openvino"


@pytest.mark.skipif(NATIVE.precision == "f32", reason="the processor has no bfloat16")
def test_where_reduced_precision_disagrees_single_precision_serves(path, caplog):
    class Strict(EncoderTrial):
        def judge(self, reference, candidate, precision):
            return Verdict(precision == "f32" and super().judge(reference, candidate, precision).agrees)

    runtime = choose_runtime(make_graph(path), lambda: Strict(Trials()().inputs), "openvino")
    assert runtime.engine == Engine("openvino", "f32")
    assert "openvino bf16 on cpu is refused" in caplog.text


def test_the_sites_own_crops_may_judge(path):
    plain = [np.full((16, 8, 3), 90, np.uint8)] * 3
    encoder = GraphEncoder(load_model(write_card(path)), RuntimeOptions(pictures=plain))
    assert encoder.engine in {NATIVE, ONNX_RUNTIME}
    assert (encoder.encode(plain) > 0.5).all()


# What cannot be had


def test_a_graph_that_openvino_lacks_an_operator_for(tmp_path):
    path = determinants(tmp_path / "odd.onnx")
    model = load_model(write_card(path, input={"height": 4, "width": 4, "resize": "stretch", "colour": "BGR"}))
    graph = Graph(model, "hash", model.card.input, (4, 4), None)
    inputs = tuple(np.full((1, 4, 4, 3), value, np.uint8) for value in range(3))
    assert choose_runtime(graph, lambda: EncoderTrial(inputs)).engine == ONNX_RUNTIME
    with pytest.raises(ModelError, match="OpenVINO cannot read it"):
        choose_runtime(graph, lambda: EncoderTrial(inputs), "openvino")


@pytest.mark.parametrize("wanted", ["torch", "tensorrt"])
def test_a_runtime_that_is_not_here(path, wanted, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.runtime_engines.is_installed", lambda name: name == "openvino")
    with pytest.raises(
        ModelError, match=rf"colours: runtime {wanted} is not installed: pip install .*, or set runtime: auto"
    ):
        choose_runtime(make_graph(path), Trials(), wanted)


def test_torch_without_a_program_is_told(path, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.runtime_engines.is_installed", lambda name: True)
    with pytest.raises(ModelError, match="torch needs a program"):
        choose_runtime(make_graph(path), Trials(), "torch")


def test_tensorrt_without_a_gpu(path, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.runtime_engines.is_installed", lambda name: True)
    monkeypatch.setattr("reid_pipeline.pipeline.runtime_engines.gpu_names", lambda: ())
    with pytest.raises(ModelError, match="runtime tensorrt needs an NVIDIA GPU: none is here"):
        choose_runtime(make_graph(path), Trials(), "tensorrt")


def test_gpus_are_read_from_the_driver(tmp_path):
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA L4\nIRQ:   41\n")
    assert gpu_names(tmp_path) == ("NVIDIA L4",)
    assert gpu_names(tmp_path / "none") == ()


# A faster one in the background


def test_a_slow_engine_takes_over_once_it_is_built_and_agrees(path, monkeypatch):
    monkeypatch.setattr(runtime_choice, "is_slow_to_build", lambda graph, engine: engine == ONNX_RUNTIME)
    costs(monkeypatch, openvino=1, onnxruntime=0.5)
    go, build = threading.Event(), runtime_choice.build_runtime
    building = threading.Event()

    def build_slowly(graph, engine):
        if engine == ONNX_RUNTIME and threading.current_thread() is not threading.main_thread():
            building.set()
            assert go.wait(30)
        return build(graph, engine)

    monkeypatch.setattr(runtime_choice, "build_runtime", build_slowly)
    monkeypatch.setattr(runtime_choice, "reference_engines", lambda graph, wanted: (Engine("openvino", "f32"),))
    runtime = choose_runtime(make_graph(path), Trials())
    assert building.wait(30)
    before = runtime.start(PIXELS)
    assert runtime.engine == NATIVE
    assert remembered_choices() == []
    go.set()
    assert runtime.wait(30)
    assert runtime.engine == ONNX_RUNTIME
    np.testing.assert_allclose(before.result(), runtime.start(PIXELS).result(), rtol=2**-6)
    assert [choice.engine for choice in remembered_choices()] == [ONNX_RUNTIME]


def test_a_slow_engine_that_disagrees_never_serves(path, monkeypatch, caplog):
    broken = perturbed(path, mixing=np.eye(3)[::-1])
    monkeypatch.setattr(runtime_choice, "is_slow_to_build", lambda graph, engine: engine == ONNX_RUNTIME)
    monkeypatch.setattr(runtime_choice, "reference_engines", lambda graph, wanted: (Engine("openvino", "f32"),))
    runtime = choose_runtime(make_graph(path, read_from=broken), Trials())
    assert runtime.wait(30)
    assert runtime.engine.runtime == "openvino"
    assert "colours: onnxruntime f32 on cpu is refused" in caplog.text


def test_a_builder_that_fails_leaves_the_current_runtime_serving(path, caplog):
    def fail():
        raise RuntimeError("no memory")

    current = build_runtime(make_graph(path), ONNX_RUNTIME)
    runtime = ServingRuntime(current, fail)
    assert runtime.wait(30)
    assert (runtime.engine, runtime.capacity) == (current.engine, current.capacity)
    np.testing.assert_array_equal(runtime.start(PIXELS).result(), current.start(PIXELS).result())
    assert "building a faster runtime failed" in caplog.text


# Measuring


def test_a_measure_is_a_time_on_every_device(path):
    runtime = build_runtime(make_graph(path), ONNX_RUNTIME)
    assert 0 < measure(runtime, [PIXELS]) < 1
    card = make_graph(path).card
    batching = BatchingRuntime(Engine("torch", "f32", "cuda"), card, lambda images: images[:, :, 0, 0], max_batch=4)
    assert 0 < measure(batching, [PIXELS]) < 1
