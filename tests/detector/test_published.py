"""Files as OpenMMLab publishes them, of either mmdet, give what their models were trained to."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from safetensors.torch import load_file
from torch import Tensor, nn

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.checkpoint import write_weights
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.digest import hash_file
from boxyard_worker.detector.migration import EXEMPT, rename_parameters
from boxyard_worker.detector.weights import Weights, load_weights, read_weights

NAMES = (Path(__file__).parent / "mmdet2_names.txt").read_text()
DEMO = "rtmdet-ins_demo"


def publish(path: Path, content: dict[str, Any], *, old: bool = False) -> Weights:
    """Writes a checkpoint, converts it as the converting child does, and reads the result."""
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    write_weights(path, hash_file(path), path.with_suffix(".safetensors"))
    return read_weights(path.with_suffix(".safetensors"))


def hold(state: dict[str, Tensor], **versions: int) -> Weights:
    return Weights(Path("w"), "", state, (), {name: {"version": v} for name, v in versions.items()})


# -- Whole files -----------------------------------------------------------------------------------


def test_a_file_of_mmengine_gives_the_same_detections(
    tmp_path: Path, wrap: Any, paint: Any
) -> None:
    trained = find_model(DEMO).weights
    assert trained
    state = OrderedDict(load_file(trained))
    content = {
        "meta": {
            "cfg": "model = dict(type='RTMDet')",
            "dataset_meta": ConfigDict(classes=("a", "b", "c", "d"), palette=[(220, 20, 60)] * 4),
            "epoch": 300,
            "seed": np.int64(7),
            "experiment_name": "demo",
            "mmengine_version": "0.10.7",
        },
        "state_dict": OrderedDict(state, **{"data_preprocessor.mean": torch.zeros(3, 1, 1)}),
        "ema_state_dict": {
            "steps": torch.tensor(9),
            **{f"module.{k}": -v for k, v in state.items()},
        },
        "message_hub": {
            "log_scalars": OrderedDict({"train/loss": HistoryBuffer([1.5, 2.5], [1, 1])}),
            "runtime_info": OrderedDict(iter=np.float64(9), best=np.bool_(True)),
            "resumed_keys": OrderedDict({"train/loss": True}),
        },
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": 9, "_last_value": [np.float64(0.1)]}],
    }
    published = publish(tmp_path / "demo.pth", content)
    assert published.classes == ("a", "b", "c", "d")
    ours, theirs = load_detector(DEMO), load_detector(DEMO, weights=published.path)
    image = wrap(ours, paint(200, 160))
    (found,), (again,) = ours.detect([image]), theirs.detect([image])
    assert len(found.scores) > 0
    assert again.boxes.tolist() == found.boxes.tolist()
    assert again.scores.tolist() == found.scores.tolist()
    assert again.masks == found.masks
    assert theirs.describe().weights_sha256 == published.sha256


@pytest.fixture(scope="module")
def yolox() -> Callable[[], Any]:
    """Makes the same small YOLOX, with its random weights, as often as it is asked for."""

    def make() -> Any:
        mmdetection.init_default_scope("mmdet")
        config = read_config(find_model("yolox_tiny_8xb8-300e_coco").config).model
        config.backbone.update(deepen_factor=0.33, widen_factor=0.125)
        config.neck.update(in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1)
        config.bbox_head.update(in_channels=32, feat_channels=32)
        return mmdetection.MODELS.build(config).eval()

    return make


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_an_old_file_with_moving_averages_gives_the_same_outputs(
    tmp_path: Path, yolox: Any, wrapped: bool
) -> None:
    torch.manual_seed(1)
    trained, fresh = yolox(), yolox()
    own = trained.state_dict()
    del own["backbone.stem.conv.bn.num_batches_tracked"]  # as the oldest files have it
    state = OrderedDict({**own, **{f"ema_{k.replace('.', '_')}": -v for k, v in own.items()}})
    state._metadata = own._metadata
    if wrapped:
        state = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
        notes = own._metadata.items()
        state._metadata = OrderedDict((f"module.{k}".rstrip("."), v) for k, v in notes)
    meta = {
        "mmdet_version": "2.18.1+31c8495",
        "CLASSES": tuple(f"thing {number}" for number in range(80)),
        "PALETTE": None,
        "env_info": "sys.platform: linux",
        "config": "model = dict(type='YOLOX')",
        "time": "Tue Nov 23 17:12:34 2021",
        "hook_msgs": {"best_score": np.float64(0.32)},
    }
    published = publish(tmp_path / "yolox.pth", {"meta": meta, "state_dict": state}, old=True)
    assert not [name for name in published.state if name.startswith(("ema_", "module."))]
    assert published.classes[79] == "thing 79"
    load_weights(fresh, published)
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for one, other in zip(_flat(trained(picture)), _flat(fresh(picture)), strict=True):
            assert torch.equal(one, other)


def _flat(outputs: Any) -> list[Tensor]:
    return (
        [outputs] if isinstance(outputs, Tensor) else [t for each in outputs for t in _flat(each)]
    )


def test_the_same_checkpoint_gives_the_same_file_every_time(tmp_path: Path) -> None:
    content = {"state_dict": nn.Linear(2, 2).state_dict(), "meta": {"CLASSES": ("größer", "b")}}
    torch.save(content, tmp_path / "model.pth")
    digests = set()
    for number in range(8):
        write_weights(tmp_path / "model.pth", "0" * 64, tmp_path / f"{number}.safetensors")
        digests.add(hash_file(tmp_path / f"{number}.safetensors"))
    assert len(digests) == 1
    assert read_weights(tmp_path / "0.safetensors").classes == ("größer", "b")


def test_parameters_parts_of_tensors_and_any_order_in_memory_are_kept(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 2, 2)
    state = {
        "parameter": nn.Parameter(whole.clone()),
        "part": whole[:, 1:2],
        "same part": whole[:, 1:2],
        "last": whole.clone().to(memory_format=torch.channels_last),
        "wide": torch.ones(1).expand(3),
        "half": whole.half(),
        "count": torch.tensor(7),
        "nothing": torch.empty(0, 4),
    }
    found = publish(tmp_path / "odd.pth", {"state_dict": state}).state
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_what_numpy_1_wrote_and_what_lay_on_a_gpu_is_read(tmp_path: Path) -> None:
    path, state = tmp_path / "old.pth", nn.Linear(2, 2).state_dict()
    meta = {"best": np.float64(0.3), "curve": np.arange(3), "CLASSES": ("one",)}
    torch.save({"meta": meta, "state_dict": state}, path, _use_new_zipfile_serialization=False)
    today = path.read_bytes()
    then = today.replace(b"numpy._core.", b"numpy.core.")
    there = then.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0")
    assert len({today, then, there}) == 3
    path.write_bytes(there)
    write_weights(path, "", tmp_path / "old.safetensors")
    found = read_weights(tmp_path / "old.safetensors")
    assert found.classes == ("one",)
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())


def test_a_file_whose_notes_are_nonsense_keeps_its_parameters(tmp_path: Path) -> None:
    state = OrderedDict(nn.Linear(2, 2).state_dict())
    state._metadata = {"": ["no note"], "deep": {"version": "two"}, "fine": {"version": 2}}
    published = publish(tmp_path / "odd.pth", {"state_dict": state})
    assert published.versions == {"fine": {"version": 2}}


# -- Names -----------------------------------------------------------------------------------------


def _old_names(model: str) -> list[str]:
    """The names in the file beside this one, written out."""
    section = NAMES.partition(f"\n{model}:\n")[2].partition("\n\n")[0]
    return [name for line in section.split() for name in _write_out(line)]


def _write_out(pattern: str) -> list[str]:
    parts = []
    for part in filter(None, re.split(r"\{([^}]*)\}", pattern)):
        numbers = re.fullmatch(r"(\d+)-(\d+)", part)
        if numbers:
            parts.append([str(n) for n in range(int(numbers[1]), int(numbers[2]) + 1)])
        else:
            parts.append(part.split(","))
    return ["".join(chosen) for chosen in itertools.product(*parts)]


@pytest.mark.parametrize("name", re.findall(r"^(\S+):$", NAMES, re.MULTILINE))
def test_what_mmdet_2_called_parameters_finds_those_of_mmdet_3(name: str) -> None:
    mmdetection.init_default_scope("mmdet")
    with torch.device("meta"):
        wanted = mmdetection.MODELS.build(read_config(find_model(name).config).model).state_dict()
    new = {each for each in wanted if not each.startswith("backbone.")}
    old = _old_names(name)
    renamed = rename_parameters(dict.fromkeys(old, torch.empty(0)), wanted)
    assert set(renamed) == new
    assert set(old) != new


def test_a_name_that_the_model_knows_is_never_changed() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bbox_head = nn.ModuleDict({"query_embedding": nn.Embedding(2, 2)})
            self.query_embedding = nn.Embedding(2, 2)

    model = Both()
    state = {name: torch.rand(2, 2) for name in model.state_dict()}
    load_weights(model, hold(state))
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in state)


def test_offsets_that_mmdet_1_kept_beside_a_deformable_convolution_are_found() -> None:
    from mmcv.ops import ModulatedDeformConv2dPack

    model = nn.ModuleDict({"conv2": ModulatedDeformConv2dPack(2, 2, 3)})
    state = {
        name.replace("conv2.conv_offset", "conv2_offset"): torch.rand_like(tensor)
        for name, tensor in model.state_dict().items()
    }
    assert "conv2_offset.weight" in state
    load_weights(model, hold(state))
    assert torch.equal(model["conv2"].conv_offset.weight, state["conv2_offset.weight"])


# -- What may be left over or missing --------------------------------------------------------------

LEFT_OVER = [
    "backbone.bn1.num_batches_tracked",
    "bbox_head.loss_cls.cum_samples",
    "bbox_head.loss_bbox.acc_sum",
    "roi_head.bbox_head.0.loss_cls.edges",
    "bbox_head.integral.project",
    "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index",
    "backbone.layers.0.blocks.1.attn_mask",
    "language_model.language_backbone.body.model.embeddings.position_ids",
    "language_model.language_backbone.body.model.pooler.dense.bias",
    "dn_query_generator.label_embedding.weight",
    "teacher.data_preprocessor.mean",
    "teacher_model.backbone.conv1.weight",
]


@pytest.mark.parametrize("name", LEFT_OVER)
def test_what_a_rule_says_is_harmless_may_be_left_over(name: str) -> None:
    model = nn.Linear(2, 2)
    load_weights(model, hold({**model.state_dict(), name: torch.zeros(1)}))


def test_every_rule_has_its_example_and_its_reason() -> None:
    for rule in EXEMPT:
        assert any(re.search(rf"(^|\.)({rule.names})$", name) for name in LEFT_OVER), rule
        assert rule.why.endswith(".")


@pytest.mark.parametrize(
    "name",
    [
        "ema_weight_of_nothing",
        "bbox_head.extra.weight",
        "segm_head.segm_conv.weight",
        "loss",
        "integral.projected",
        "teacher.backbone.conv1.weight",
        "mean",
        "bias.num_batches_tracked.more",
    ],
)
def test_what_no_rule_allows_for_is_refused(name: str) -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(DetectorLoadError, match=f"unexpected: {re.escape(name)}"):
        load_weights(model, hold({**model.state_dict(), name: torch.zeros(1)}))


class Holder(nn.Module):
    """Holds one thing under a name."""

    def __init__(self, name: str, held: nn.Module) -> None:
        super().__init__()
        self.add_module(name, held)


def test_what_the_model_makes_itself_may_be_missing() -> None:
    table = nn.Module()
    table.register_buffer("project", torch.linspace(0, 4, 5))
    model = Holder("integral", table)
    load_weights(model, hold({}))
    assert model.integral.project.tolist() == [0, 1, 2, 3, 4]


def test_what_training_alone_reads_may_be_missing() -> None:
    noise = Holder("label_embedding", nn.Embedding(2, 2))
    load_weights(Holder("dn_query_generator", noise), hold({}))
    with pytest.raises(DetectorLoadError, match=r"missing: query_embedding\.weight"):
        load_weights(Holder("query_embedding", nn.Embedding(2, 2)), hold({}))


def test_a_count_of_steps_may_be_missing_and_a_mean_may_not() -> None:
    state = dict(nn.BatchNorm2d(2).state_dict())
    count = state.pop("num_batches_tracked")
    load_weights(nn.BatchNorm2d(2), hold(state, **{"": 2}))
    state.pop("running_mean")
    with pytest.raises(DetectorLoadError, match="missing: running_mean"):
        load_weights(nn.BatchNorm2d(2), hold({**state, "num_batches_tracked": count}, **{"": 2}))


def test_the_mean_of_a_preprocessor_may_not_be_missing() -> None:
    preprocessor = nn.Module()
    preprocessor.register_buffer("mean", torch.zeros(3))
    with pytest.raises(DetectorLoadError, match=r"missing: data_preprocessor\.mean"):
        load_weights(Holder("data_preprocessor", preprocessor), hold({}))


def test_vfnets_head_hides_nothing_that_it_does_not_know() -> None:
    mmdetection.init_default_scope("mmdet")
    config = Config.fromfile(str(find_model("vfnet_r50_fpn_1x_coco").config)).model.bbox_head
    config.update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=2)
    model = Holder("bbox_head", mmdetection.MODELS.build(config))
    state = dict(model.state_dict())
    load_weights(model, hold(state))
    with pytest.raises(DetectorLoadError, match=r"unexpected: bbox_head\.vfnet_cls2\.weight"):
        load_weights(model, hold({**state, "bbox_head.vfnet_cls2.weight": torch.zeros(1)}))


def test_an_upgraded_file_without_versions_finds_its_predictors() -> None:
    mmdetection.init_default_scope("mmdet")
    config = Config.fromfile(str(find_model("fcos_r50-caffe_fpn_gn-head_1x_coco").config))
    head = config.model.bbox_head
    head.update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=2)
    model = Holder("bbox_head", mmdetection.MODELS.build(head))
    state = {
        name.replace("conv_cls", "fcos_cls").replace("conv_reg", "fcos_reg"): torch.rand_like(each)
        for name, each in model.state_dict().items()
    }
    load_weights(model, hold(state))
    assert torch.equal(model.bbox_head.conv_cls.weight, state["bbox_head.fcos_cls.weight"])
