"""Settings: the reference's overrides work, whatever is wrong is named together with what was probably meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vclr.config import Config, config_from_text, config_hash, dump_config, flat_config, list_keys, load_config
from vclr.errors import UsageError

EXPERIMENTS = sorted((Path(__file__).parents[2] / "configs" / "experiment").glob("*.yaml"))

# The overrides of the reference's README, and where they lead.
REFERENCE_OVERRIDES = {
    "train.amp.enabled=True": ("train.amp.enabled", True),
    "model.num_queries=2000": ("model.num_queries", 2000),
    "dataloader.train.total_batch_size=8": ("dataloader.train.total_batch_size", 8),
    "model.transformer.encoder.use_checkpoint=True": ("model.transformer.encoder.use_checkpoint", True),
    "model.transformer.decoder.use_checkpoint=True": ("model.transformer.decoder.use_checkpoint", True),
    "train.init_checkpoint=weights/dino_r50.pkl": ("train.init_checkpoint", "weights/dino_r50.pkl"),
    "train.model_ema.use_ema_weights_for_eval_only=True": ("train.model_ema.use_ema_weights_for_eval_only", True),
    'dataloader.test.dataset.names="openworld_nonvoc_classes_val2017"': (
        "dataloader.test.dataset.names",
        "openworld_nonvoc_classes_val2017",
    ),
    "dataloader.train.mapper.instance_mask_format='bitmask'": (
        "dataloader.train.mapper.instance_mask_format",
        "bitmask",
    ),
    "dataloader.train.mapper.mask_on=False": ("dataloader.train.mapper.mask_on", False),
    "train.output_dir=./output/voc": ("train.output_dir", "./output/voc"),
}


def refuse(path: Path | None = None, *overrides: str) -> str:
    """Return the one line with which a configuration is refused."""
    with pytest.raises(UsageError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("override", REFERENCE_OVERRIDES)
def test_reference_override(override: str):
    key, value = REFERENCE_OVERRIDES[override]
    assert flat_config(load_config(None, [override]))[key] == value


def test_reference_overrides_together():
    flat = flat_config(load_config(None, list(REFERENCE_OVERRIDES)))
    assert {key: flat[key] for key, _ in REFERENCE_OVERRIDES.values()} == dict(REFERENCE_OVERRIDES.values())


def test_defaults_are_the_published_experiment():
    config, declared = load_config(), Config()
    assert declared.optimizer.milestones == [0.8]
    declared.optimizer.milestones = [48000]  # as iterations
    assert config == declared
    assert (config.model.num_queries, config.train.max_iter, config.optimizer.milestones) == (2000, 60000, [48000])
    assert (config.optimizer.lr, config.optimizer.backbone_lr_factor) == (1e-4, 0.1)
    weights = config.model.criterion.weight_dict
    assert (weights.loss_class, weights.loss_bbox, weights.loss_giou) == (1, 5, 2)
    assert (weights.loss_mask, weights.loss_dice, weights.loss_consistency) == (1, 5, 1)


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("model.num_query=100", "model.num_queries"),
        ("train.max_iters=5", "train.max_iter"),
        ("dataloader.train.batch_size=5", "dataloader.train.total_batch_size"),
        ("optimiser.lr=1", "optimizer.lr"),
        ("model.num_queries.x=5", "model.num_queries"),
    ],
)
def test_unknown_key_names_the_nearest(override: str, nearest: str):
    key = override.split("=")[0]
    assert refuse(None, override) == f"command line: unknown key {key!r}; nearest: {nearest}"


def test_unknown_key_in_a_file_names_file_and_nearest(tmp_path: Path):
    path = write(tmp_path / "a.yaml", "train:\n  max_itre: 5\n")
    assert refuse(path) == f"{path}: unknown key 'train.max_itre'; nearest: train.max_iter"


@pytest.mark.parametrize(
    "override",
    [
        "model.num_queries=many",
        "model.num_queries=1.5",
        "train.amp.enabled=perhaps",
        "optimizer.lr=fast",
        "optimizer.milestones=[a]",
        "model=5",
        "train.max_iter=null",
        "data.train.views=[1]",
    ],
)
def test_wrong_type_names_the_key(override: str):
    line = refuse(None, override)
    assert line.startswith("command line: ")
    assert override.split("=")[0].split(".")[-1] in line


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.backbone.depth=49", "model.backbone.depth=49: must be one of 10, 18, 34, 50, 101"),
        ("model.backbone.norm=BN", "model.backbone.norm=BN: must be one of FrozenBN, GN"),
        ("train.amp.dtype=int8", "train.amp.dtype=int8"),
        ("dataloader.train.mapper.instance_mask_format=rle", "must be one of polygon, bitmask"),
        ("model.num_queries=0", "model.num_queries=0: must be at least 1"),
        ("dataloader.train.total_batch_size=0", "must be from 1 to 1000000"),
        (
            "dataloader.train.group_size=3",
            "dataloader.train.total_batch_size=16: must be a multiple of dataloader.train.group_size=3",
        ),
        ("dataloader.train.group_size=32", "must be a multiple of dataloader.train.group_size=32"),
        ("views.weights.depth=-1", "views.weights.depth=-1.0: must be a finite number that is not negative"),
        ("views.weights.depth=.inf", "views.weights.depth=inf: must be a finite number"),
        ("optimizer.lr=.inf", "optimizer.lr=inf: must be finite"),
        ("model.pixel_mean=[.nan,1,2]", "model.pixel_mean=[nan, 1.0, 2.0]: must be finite"),
        ("model.criterion.matcher.cost_class=-1", "must be at least 0"),
        ("train.clip_grad.params.norm_type=0", "must be at least 1"),
        ("train.clip_grad.params.norm_type=.nan", "must be at least 1"),
        ("train.seed=99999999999999999999", "must be from 0 to 9223372036854775807"),
        ("views.weights={natural: 0, depth: 0, style: 0}", "at least one view"),
        ("train.model_ema.enabled=False", "set model.criterion.weight_dict.loss_consistency=0 too"),
        ("model.criterion.weight_dict.loss_class_dn=1", "loss_class_dn: needs model.dn_number above 0, such as 100"),
        ("model.box_noise_scale=0.4", "model.box_noise_scale=0.4: needs model.dn_number above 0, such as 100"),
        (
            "model={dn_number: 9, box_noise_scale: 0.4}",
            "needs model.dn_number above 0, such as 100, and a weight above 0 of model.criterion.weight_dict.*_dn",
        ),
        ("model.label_noise_ratio=0.2", "model.label_noise_ratio=0.2: has no effect with one class; leave it out"),
        ("max_iter", "expected key=value"),
        (
            "model.criterion.two_losses.proposals=0.5",
            "model.criterion.two_losses.proposals=0.5: needs model.criterion.two_losses.enabled=True",
        ),
        (
            "model.criterion.two_losses={enabled: True, annotations: 0, proposals: 0}",
            "nothing would be detected; set one above 0",
        ),
        ("model.criterion.consistency.kind=l1", "must be one of cosine, l2, contrastive"),
        (
            "model.criterion.consistency.temperature=0.2",
            "temperature=0.2: needs model.criterion.consistency.kind=contrastive",
        ),
        (
            "model.criterion.consistency={features: memory, layers: all}",
            "layers=all: needs model.criterion.consistency.features=queries",
        ),
        ("=5", "expected key=value"),
        ("train.max_iter=[1", "override 'train.max_iter=[1'"),
        ("train.output_dir=${absent}", "absent"),
        ("optimizer.milestones=[1.0]", "optimizer.milestones=[1.0]: must be whole numbers of iterations (48000), or"),
        ("optimizer.milestones=[0.5, 5.5]", "must be whole numbers of iterations"),
        ("optimizer.milestones=[60000]", "iteration 60000 is not before the end (train.max_iter=60000); give an earl"),
        ("optimizer.milestones=[0.5, 70000]", "iteration 70000 is not before the end (train.max_iter=60000)"),
    ],
)
def test_bad_value_names_the_key(override: str, says: str):
    assert says in refuse(None, override)


@pytest.mark.parametrize("key", ["train.init_checkpoint", "data.train.images", "evaluation.protocol"])
def test_nothing_after_the_sign_is_the_empty_text(tmp_path: Path, key: str):
    *sections, name = key.split(".")
    path = write(
        tmp_path / "a.yaml", f"{'{'.join(f'{part}: ' for part in sections)}{{{name}: nonvoc{'}' * len(sections)}"
    )
    assert flat_config(load_config(path))[key] == "nonvoc"
    assert flat_config(load_config(path, [f"{key}="]))[key] == ""


def test_missing_file_names_the_nearest(tmp_path: Path):
    write(tmp_path / "demo.yaml", "{}")
    assert refuse(tmp_path / "dmeo.yaml") == f"{tmp_path}/dmeo.yaml: does not exist; nearest: {tmp_path}/demo.yaml"
    assert refuse(tmp_path / "absent" / "x.yaml") == f"{tmp_path}/absent/x.yaml: does not exist"


@pytest.mark.parametrize("text", ["train: [1", "- 1\n- 2\n", "just text", "train:\n\t- x", "\x00"])
def test_what_is_no_yaml_mapping_is_one_line(tmp_path: Path, text: str):
    path = write(tmp_path / "a.yaml", text)
    assert refuse(path).startswith(f"{path}: ")


def test_file_then_overrides(tmp_path: Path):
    path = write(tmp_path / "a.yaml", "train:\n  max_iter: 5\n  seed: 1\n")
    config = load_config(path, ["train.seed=2"])
    assert (config.train.max_iter, config.train.seed, config.train.log_period) == (5, 2, 20)


def test_empty_file_is_the_defaults(tmp_path: Path):
    assert load_config(write(tmp_path / "a.yaml", "")) == load_config()


def test_base_comes_before_the_file_that_names_it(tmp_path: Path):
    write(tmp_path / "one.yaml", "train:\n  max_iter: 1\n  seed: 1\n  log_period: 1\n")
    write(tmp_path / "two.yaml", "base: one.yaml\ntrain:\n  max_iter: 2\n  seed: 2\n")
    config = load_config(write(tmp_path / "three.yaml", "base: two.yaml\ntrain:\n  max_iter: 3\n"))
    assert (config.train.max_iter, config.train.seed, config.train.log_period) == (3, 2, 1)


def test_bad_bases_are_one_line(tmp_path: Path):
    line = refuse(write(tmp_path / "a.yaml", "base: absent.yaml"))
    assert "a.yaml: base: " in line
    assert "absent.yaml: does not exist" in line
    write(tmp_path / "b.yaml", "base: c.yaml")
    assert "is its own base" in refuse(write(tmp_path / "c.yaml", "base: b.yaml"))
    assert "is its own base" in refuse(write(tmp_path / "e.yaml", "base: e.yaml"))
    assert "betas[1]" in refuse(write(tmp_path / "g.yaml", "optimizer: {betas: [1, [1]]}"))
    assert "optimizer.milestones=[[1]]: must be" in refuse(write(tmp_path / "h.yaml", "optimizer: {milestones: [[1]]}"))
    assert "holds itself" in refuse(write(tmp_path / "f.yaml", "data: &a [*a]"))
    assert "base" in refuse(write(tmp_path / "d.yaml", "base: [1]"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_load_and_round_trip(tmp_path: Path, path: Path):
    config = load_config(path)
    text = dump_config(config)
    assert load_config(write(tmp_path / "dumped.yaml", text)) == config
    assert config_from_text(text, "text") == config
    assert dump_config(load_config(tmp_path / "dumped.yaml")) == text


def test_flat_config_holds_every_key():
    assert set(list_keys()) <= set(flat_config(load_config()))
    assert "model.transformer.encoder.num_layers" in list_keys()


@pytest.mark.parametrize("path", EXPERIMENTS)
def test_flat_config_holds_plain_values(path: Path):
    flat = flat_config(load_config(path, ["evaluation.groups={'a.b': [x, y]}", "evaluation.max_dets=[1, 2]"]))
    assert json.loads(json.dumps(flat)) == flat
    assert {type(value) for value in flat.values()} <= {int, float, bool, str, list, dict}
    assert flat["evaluation.groups.a.b"] == ["x", "y"]
    assert flat["evaluation.max_dets"] == [1, 2]


@pytest.mark.parametrize(
    ("override", "beside", "needs"),
    [
        ("objects=proposals", "model.criterion.weight_dict.loss_consistency=0", "loss_consistency above 0"),
        ("layers=all", "model.aux_loss=False", "model.aux_loss=True"),
        ("features=memory", "compat.padding=True", "compat.padding=False"),
    ],
)
def test_settings_of_the_consistency_loss_that_have_no_effect(override: str, beside: str, needs: str):
    line = refuse(None, f"model.criterion.consistency.{override}", beside)
    assert line.startswith(f"model.criterion.consistency.{override}: needs ") and needs in line


def test_hash_depends_on_the_named_roots_only():
    first = load_config()
    second = load_config(None, ["train.max_iter=5"])
    assert config_hash(first, ("model", "data")) == config_hash(second, ("model", "data"))
    assert config_hash(first, ("train",)) != config_hash(second, ("train",))


@pytest.mark.parametrize("override", ["views.weights={natural:1}", "views.weights={natural: 1,depth:2}"])
def test_mapping_without_a_space_says_so(override: str):
    with pytest.raises(UsageError, match=r"YAML needs a space after the colon: views\.weights='\{\w+: \d\}'$"):
        load_config(None, [override])


@pytest.mark.parametrize(
    "text", ["[1", "- a", "text", "", "nonsense: 1", "model: {num_queries: 0}", "train: {seed: a}"]
)
def test_text_that_is_no_configuration_is_one_line(text: str):
    if text == "":
        assert config_from_text(text, "a.pt") == load_config()
        return
    with pytest.raises(UsageError, match=r"^a\.pt: ") as raised:
        config_from_text(text, "a.pt")
    assert "\n" not in str(raised.value)


def test_images_are_a_folder_or_a_list_of_folders(tmp_path: Path):
    for override, images in (("a", "a"), ("2017", "2017"), ("[a, b.zip]", ["a", "b.zip"])):
        config = load_config(None, [f"data.test.images={override}"])
        assert config.data.test.images == flat_config(config)["data.test.images"] == images
        (tmp_path / "a.yaml").write_text(dump_config(config))
        assert load_config(tmp_path / "a.yaml") == config
    own = "evaluation.test_sets.mine={annotations: a, images: [a, 5]}"
    for override in ("data.train.images=[]", "data.test.images=[a, [b]]", "data.test.images=null", own):
        with pytest.raises(UsageError, match=r"images=.*: must be a folder or a list of folders"):
            load_config(None, [override])


def test_an_empty_mapping_replaces_the_one_before_it(tmp_path: Path):
    """Another one adds to it."""
    (tmp_path / "base.yaml").write_text("views: {weights: {natural: 1, edge: 1}}\nevaluation: {groups: {known: voc}}\n")
    (tmp_path / "own.yaml").write_text("base: base.yaml\nviews: {weights: {}}\n")
    assert load_config(tmp_path / "base.yaml", ["views.weights={palette: 1}"]).views.weights.keys() == {
        *("natural", "edge", "palette")
    }
    own = load_config(tmp_path / "own.yaml", ["evaluation.groups={}"])
    assert (own.views.weights, own.evaluation.groups) == ({}, {})
    again = load_config(tmp_path / "base.yaml", ["views.weights={}", "views.weights.depth=2"])
    assert again.views.weights == {"depth": 2}


def test_a_number_of_denoising_queries_without_a_weight_is_said(caplog: pytest.LogCaptureFixture):
    """It is not refused: the reference's files have it."""
    load_config(None, ["model.dn_number=100"])
    assert [message.partition(": ")[0] for message in caplog.messages] == ["model.dn_number=100"]
    caplog.clear()
    load_config(None, ["model.dn_number=100", "model.criterion.weight_dict.loss_bbox_dn=1"])
    assert not caplog.messages


@pytest.mark.parametrize(
    "override",
    ["optimizer.lr={}", "train.max_iter=-{}", "optimizer.milestones=[0.5, {}]", "views.weights={{depth: {}}}"],
)
def test_a_whole_number_that_no_float_can_be_is_named(override: str):
    key = "views.weights.depth" if "depth" in override else override.partition("=")[0]
    with pytest.raises(UsageError, match=f"^command line: {key}: the number is too large$"):
        load_config(None, [override.format("1" + "0" * 400)])
