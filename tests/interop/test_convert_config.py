"""Configurations of the reference and of detectron2: there and back without a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.interop.fixtures import run_python
from vclr.cli import app
from vclr.config import load_config
from vclr.errors import UserError
from vclr.interop.convert_config import MODULES, convert_config
from vclr.interop.lazy_config import read_lazy_config
from vclr.interop.reference_settings import as_tree, differences, from_reference, published, to_reference

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with the values of the reference's two files, as files that set all of them."""
    for name, module in MODULES.items():
        lines = ["from detectron2.data.datasets import register_coco_instances", "from omegaconf import OmegaConf"]
        tree = as_tree(published(name))
        for key, files in tree.pop("data_sets").items():
            lines.append(f"register_coco_instances({key!r}, {{}}, {files['annotations']!r}, {files['images']!r})")
        factor = tree["optimizer"]["params"].pop("lr_factor_func")
        lines += [f"{root} = OmegaConf.create({with_lists(values)!r})" for root, values in tree.items()]
        lines.append(
            "optimizer.params.lr_factor_func = lambda name: "
            f"{factor['of backbone']} if 'backbone' in name else {factor['of others']}"
        )
        (tmp_path / f"{module}.py").write_text("\n".join(lines))
    return tmp_path


def with_lists(tree: Any) -> Any:
    """Return a tree in which mappings from 0 on are lists."""
    if not isinstance(tree, dict):
        return tree
    values = {key: with_lists(value) for key, value in tree.items()}
    return [*values.values()] if all(key.isdigit() for key in values) else values


def there_and_back(source: Path, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what is read from a file of the reference after it was converted to ours and back, and what was said."""
    said = convert_config(source, folder / "ours.yaml")
    convert_config(folder / "ours.yaml", folder / "back.py", to="reference")
    return read_lazy_config(folder / "back.py"), said


@pytest.mark.parametrize("name", MODULES)
def test_the_two_published_files_convert_and_back_without_a_loss(checkout: Path, name: str) -> None:
    source = checkout / f"{MODULES[name]}.py"
    back, said = there_and_back(source, checkout)
    assert back == read_lazy_config(source) == published(name) and len(back) > 250
    assert said == []
    ours = load_config(checkout / "ours.yaml")
    assert ours.train.max_iter == 60000 and ours.optimizer.milestones == [48000] and ours.model.num_queries == 2000


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("optimizer.lr = 2e-4", True),  # base_lr is another value of the reference
        ("optimizer.lr = optimizer.params.base_lr = 2e-4", False),
        ("optimizer.params.lr_factor_func = lambda name: 0.3 if 'backbone' in name else 1", False),
        ("train.max_iter = 3000", False),
        ("train.seed = 0", True),
        ("train.seed = 7", False),
        ("model.dn_number = 50", True),
        ("model.criterion.weight_dict.loss_bbox_2 = 1.0", True),
        ("dataloader.train.total_batch_size = 8", False),
        ("lr_multiplier.scheduler.milestones = [1000, 37500]", False),
        ("train.new = dict(key=[1, 2])", True),
        ("del train['seed']", True),
        ("train.init_checkpoint = 'elsewhere.pth'", False),
    ],
)
def test_a_changed_value_is_translated_or_listed_but_never_dropped(checkout: Path, line: str, is_kept: bool) -> None:
    base = MODULES["voc_to_nonvoc"]
    source = checkout / "changed.py"
    source.write_text(f"from .{base} import dataloader, lr_multiplier, model, optimizer, train\n{line}\n")
    back, said = there_and_back(source, checkout)
    assert back == read_lazy_config(source) != published("voc_to_nonvoc")
    assert bool(said) is is_kept


@pytest.mark.parametrize("name", ["photos", "coco_to_lvis_readme"])
@pytest.mark.parametrize("to", ["reference", "lazyconfig"])
def test_our_experiments_convert_and_back_without_a_loss(checkout: Path, name: str, to: str) -> None:
    path = ROOT / "configs" / "experiment" / f"{name}.yaml"
    convert_config(path, checkout / "there.py", to=to)
    convert_config(checkout / "there.py", checkout / "back.yaml")
    assert load_config(checkout / "back.yaml") == load_config(path)


def test_own_data_sets_are_registered(checkout: Path) -> None:
    (checkout / "own.yaml").write_text("data: {train: {annotations: a.json, images: photos}}\n")
    convert_config(checkout / "own.yaml", checkout / "there.py", to="reference")
    values = read_lazy_config(checkout / "there.py")
    name = values["dataloader.train.dataset.names"]
    assert (values[f"data_sets.{name}.annotations"], values[f"data_sets.{name}.images"]) == ("a.json", "photos")


def test_what_the_reference_has_no_setting_for_is_returned() -> None:
    config, kept = from_reference(published("voc_to_nonvoc"), "file")
    assert kept == {}
    config.views.weights = {"edge": 1.0}
    values, unknown = to_reference(config, "voc_to_nonvoc")
    assert differences(values, published("voc_to_nonvoc")) == {} and unknown == {"views.weights.edge": 1.0}


def convert_by_command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["convert", *arguments])


@pytest.mark.parametrize("suffix", [".yaml", ".py"])
def test_settings_change_what_is_converted(checkout: Path, suffix: str) -> None:
    experiment, source = ROOT / "configs" / "experiment" / "photos.yaml", checkout / f"own{suffix}"
    convert_config(experiment, source, "lazyconfig" if suffix == ".py" else "vclr")
    output = checkout / "changed.yaml"
    settings = ["optimizer.lr=0.5", "tracking.uri=http://host/a"]
    done = convert_by_command("--config", str(source), "--output", str(output), settings[1], settings[0])
    assert done.exception is None, done.output
    assert load_config(output) == load_config(experiment, settings)


def test_a_setting_replaces_what_was_kept_from_the_reference(checkout: Path) -> None:
    source = checkout / "changed.py"
    imports = f"from .{MODULES['voc_to_nonvoc']} import dataloader, lr_multiplier, model, optimizer, train"
    source.write_text(f"{imports}\noptimizer.lr = 2e-4\ntrain.new = 1\n")
    convert_config(source, checkout / "ours.yaml")
    convert_config(checkout / "ours.yaml", checkout / "back.py", "reference", ["optimizer.lr=0.5"])
    values = read_lazy_config(checkout / "back.py")
    assert (values["optimizer.lr"], values["optimizer.params.base_lr"], values["train.new"]) == (0.5, 0.5, 1)


def test_weights_beside_a_configuration_are_refused(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text("{}")
    done = convert_by_command("--config", str(tmp_path / "it.yaml"), "--output", str(tmp_path / "to.yaml"), "last.pt")
    assert isinstance(done.exception, UserError) and done.exception.exit_code == 2
    assert str(done.exception).startswith("last.pt: ") and not (tmp_path / "to.yaml").exists()


def test_a_file_away_from_those_that_it_imports_gives_one_line(checkout: Path, tmp_path: Path) -> None:
    convert_config(checkout / f"{MODULES['voc_to_nonvoc']}.py", checkout / "ours.yaml")
    away = tmp_path / "away" / "back.py"
    convert_config(checkout / "ours.yaml", away, to="reference")
    with pytest.raises(UserError) as error:
        convert_config(away, tmp_path / "again.yaml")
    assert str(error.value).startswith(
        f"{away}: imports {MODULES['voc_to_nonvoc']}.py, which is not in {away.parent}; "
    )
    assert "copy" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 +", "is not a LazyConfig: SyntaxError"),
        ("1 / 0", "is not a LazyConfig: ZeroDivisionError"),
        ("train = {}", "does not set model"),
        ("from detrex.config import get_config\nget_config('common/train.py')", "there is no folder configs/"),
    ],
)
def test_a_file_that_is_none_gives_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "it.py").write_text(text)
    with pytest.raises(UserError, match="it.py: ") as error:
        convert_config(tmp_path / "it.py", tmp_path / "ours.yaml")
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "ours.yaml").exists()


BUILD = """
import json, sys
from detectron2.config import LazyConfig, instantiate
overrides = ["settings.optimizer.lr=0.5", "model.input_format=BGR"]
config = LazyConfig.apply_overrides(LazyConfig.load(sys.argv[1]), overrides)
model = instantiate(config.model)
config.optimizer.params.model = model
optimizer = instantiate(config.optimizer)
factor = instantiate(config.lr_multiplier)
train, test = (instantiate(config.dataloader[part]) for part in ("train", "test"))
batch = next(iter(train))
losses = model.train()(batch)
(found,) = model.eval()(next(iter(test)))
print(json.dumps({
    "rates": sorted({group["lr"] for group in optimizer.param_groups}),
    "factors": [factor(0.0), factor(0.9)],
    "losses": sorted(losses),
    "batch": len(batch),
    "fields": sorted(found["instances"].get_fields()),
    "format": model.input_format,
    "device": config.train.device,
}))
"""


@pytest.mark.slow
def test_detectron2_builds_our_lazy_config(world: Path, tmp_path: Path) -> None:
    config = tmp_path / "it.yaml"
    raw = f"{world}/raw/toy"
    config.write_text(
        f"base: {ROOT}/configs/experiment/demo.yaml\n"
        f"data: {{train: {{annotations: {raw}/annotations_train.json, images: {raw}/images, views: "
        f"{{depth: {world}/views/toy/depth, style: {world}/views/toy/style}}}}, "
        f"test: {{annotations: {raw}/annotations_val.json, images: {raw}/images}}}}\n"
        "dataloader: {train: {num_workers: 0, total_batch_size: 3}, test: {num_workers: 0}}\n"
        "train: {device: cpu}\n"
    )
    convert_config(config, tmp_path / "it.py", to="lazyconfig")
    built = json.loads(run_python(BUILD, str(tmp_path / "it.py")).splitlines()[-1])
    assert built["rates"][-1] == 0.5 and built["factors"] == [pytest.approx(load_factor(config)), pytest.approx(0.1)]
    assert built["batch"] == 3 and {"loss_class", "loss_consistency"} <= {*built["losses"]}
    assert built["fields"] == ["pred_boxes", "pred_classes", "pred_masks", "scores"]
    assert (built["format"], built["device"]) == ("BGR", "cpu")


def load_factor(config: Path) -> float:
    from vclr.models.learning_rates import rate_factor

    return rate_factor(load_config(config).optimizer, 0)
