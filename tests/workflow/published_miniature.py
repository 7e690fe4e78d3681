"""The published data sets in miniature: archives, jsons and a hub with official names, made of a few photos of COCO."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

import vclr
from tests.fetch.packing import tarred, zipped
from tests.fetch.server import FileServer
from tests.shared import PHOTOS
from tests.splits.objects365 import OBJECTS365
from vclr.catalog.classes import COCO_SYNSETS, VOC_CLASSES
from vclr.fetch.sources import PACKAGED
from vclr.files import read_json
from vclr.splits.class_matching import NOT_IN_LVIS

Json = dict[str, Any]
NUM_TRAIN, NUM_VAL = 6, 4
COMMIT = "a" * 40
REPOSITORY = "allencbzhang/OWIScollection"
NOVEL_IN_LVIS = ("acorn.n.01", "yak.n.02")


class Miniature:
    """A few photos, and what the publishers make of them; `publish` serves all of it.

    Attributes:
        train, val: entries of COCO's `images`.
        patches: path in Objects365's archives of each of its photos, and the photo.
        objects365: its json.
    """

    def __init__(self) -> None:
        self.coco = read_json(PHOTOS / "annotations.json")
        crowds = {one["image_id"] for one in self.coco["annotations"] if one["iscrowd"]}
        names = {one["id"]: one["name"] for one in self.coco["categories"]}
        classes: dict[int, set[str]] = {}
        for one in self.coco["annotations"]:
            classes.setdefault(one["image_id"], set()).add(names[one["category_id"]])
        voc = set(VOC_CLASSES)
        both = {image for image, found in classes.items() if found & voc and found - voc} - crowds
        images = [image for image in self.coco["images"] if image["id"] in both][: NUM_TRAIN + NUM_VAL]
        self.voc_ids = {number for number, name in names.items() if name in voc}
        self.train, self.val = images[:NUM_TRAIN], images[NUM_TRAIN:]
        self.photos = {image["file_name"]: (PHOTOS / "images" / image["file_name"]).read_bytes() for image in images}
        self.patches, self.objects365 = self._objects365()

    def publish(self, server: FileServer) -> str:
        """Serve everything, and return the catalog that says so: the shipped one with other addresses and counts."""
        served = {f"{folder}.zip": self._photo_zip(folder, images) for folder, images in self._photo_folders().items()}
        served["annotations_trainval2017.zip"] = self._annotations()
        served["lvis_v1_val.json.zip"] = zipped({"lvis_v1_val.json": _encode(self._lvis([*self.train[:2], *self.val]))})
        served["lvis_v1_train.json.zip"] = zipped({"lvis_v1_train.json": _encode(self._lvis(self.train[2:]))})
        served["R-50.pkl"] = _weights()
        for name, content in served.items():
            server.put(f"/{name}", content)
        _publish_hub(server, self._owis())
        sources = {
            name: source
            for name, source in yaml.safe_load(PACKAGED.read_text()).items()
            if name in ("coco2017", "lvis", "uvo", "objects365", "weights")
        }
        for source in sources.values():
            _serve_from(source, server.address, served)
        return yaml.safe_dump(sources)

    def _photo_folders(self) -> dict[str, list[Json]]:
        return {"train2017": self.train, "val2017": self.val}

    def _photo_zip(self, folder: str, images: Iterable[Json]) -> bytes:
        return zipped({f"{folder}/{image['file_name']}": self.photos[image["file_name"]] for image in images})

    def _of(self, images: Iterable[Json]) -> list[Json]:
        ids = {image["id"] for image in images}
        return [one for one in self.coco["annotations"] if one["image_id"] in ids]

    def _annotations(self) -> bytes:
        files = {
            f"annotations/{kind}_{part}2017.json": b"{}"
            for kind in ("captions", "person_keypoints")
            for part in ("train", "val")
        }
        for folder, images in self._photo_folders().items():
            content = {**self.coco, "images": images, "annotations": self._of(images)}
            files[f"annotations/instances_{folder}.json"] = _encode(content)
        return zipped(files)

    def _lvis(self, images: list[Json]) -> Json:
        """LVIS v1: no `file_name`, photos of COCO's training set among others, no hot dog, two classes of its own."""
        synsets = [*(synset for name, synset in COCO_SYNSETS.items() if name not in NOT_IN_LVIS[:1]), *NOVEL_IN_LVIS]
        categories = [
            {"id": number, "name": synset, "synset": synset} for number, synset in enumerate(synsets, start=1)
        ]
        train = {image["id"] for image in self.train}
        entries = []
        for image in images:
            entry = {key: image[key] for key in ("id", "height", "width")}
            folder = "train2017" if image["id"] in train else "val2017"
            entry["coco_url"] = f"http://images.cocodataset.org/{folder}/{image['file_name']}"
            entries.append({**entry, "neg_category_ids": [], "not_exhaustive_category_ids": []})
        annotations = self._relabel(images, lambda number: 1 if number % 2 else len(synsets) - number % 4 // 2)
        return {"images": entries, "annotations": annotations, "categories": categories}

    def _objects365(self) -> tuple[dict[str, bytes], Json]:
        categories = [{"id": number, "name": name} for number, name in enumerate(OBJECTS365, start=1)]
        novel = OBJECTS365.index("Sneakers") + 1
        images, photos = [], {}
        for number, image in enumerate(self.val):
            version, patch = ("v1", "patch8") if number % 2 else ("v2", "patch20")
            name = f"{patch}/objects365_{version}_{image['id']:08}.jpg"
            photos[name] = self.photos[image["file_name"]]
            entry = {key: image[key] for key in ("id", "height", "width")}
            images.append({**entry, "file_name": f"images/{version}/{name}"})
        annotations = self._relabel(self.val, lambda number: novel if number % 2 else 1)
        return photos, {"images": images, "annotations": annotations, "categories": categories}

    def _relabel(self, images: Iterable[Json], category_of: Any) -> list[Json]:
        return [{**one, "category_id": category_of(number)} for number, one in enumerate(self._of(images))]

    def _published_lvis(self) -> Json:
        """The published test set of LVIS: as rebuilt, but for an object of a known class that it has too."""
        official = self._lvis([*self.train[:2], *self.val])
        novel = {one["id"] for one in official["categories"] if one["synset"] in NOVEL_IN_LVIS}
        found = [one for one in official["annotations"] if one["category_id"] in novel]
        images = [
            {**image, "file_name": "/".join(image["coco_url"].split("/")[-2:])}
            for image in official["images"]
            if image["id"] in {one["image_id"] for one in found if not one["iscrowd"]}
        ]
        ids = {image["id"] for image in images}
        extra = next(
            one for one in official["annotations"] if one["category_id"] not in novel and one["image_id"] in ids
        )
        return _one_class(images, [*(one for one in found if one["image_id"] in ids), extra])

    def _published_objects365(self) -> Json:
        """The published test set of Objects365, which is as rebuilt."""
        novel = OBJECTS365.index("Sneakers") + 1
        found = [one for one in self.objects365["annotations"] if one["category_id"] == novel]
        ids = {one["image_id"] for one in found if not one["iscrowd"]}
        images = [image for image in self.objects365["images"] if image["id"] in ids]
        return _one_class(images, [one for one in found if one["image_id"] in ids])

    def archives_of_objects365(self) -> dict[str, bytes]:
        """Return what its host has: a tar of each patch."""
        patches = sorted({name.split("/")[0] for name in self.patches})
        return {
            f"{patch}.tar.gz": tarred(
                {name: photo for name, photo in self.patches.items() if name.startswith(f"{patch}/")}
            )
            for patch in patches
        }

    def _owis(self) -> dict[str, bytes]:
        """The collection: training files with proposals, views, frames of videos and the test sets."""
        known = [one for one in self._of(self.train) if one["category_id"] in self.voc_ids]
        depth = {image["file_name"]: _rendered(self.photos[image["file_name"]], "depth") for image in self.train}
        style = {image["file_name"]: _rendered(self.photos[image["file_name"]], "style") for image in self.train}
        frames = {
            f"uvo_videos_dense_frames/video/{number}.jpg": self.photos[image["file_name"]]
            for number, image in enumerate(self.val)
        }
        uvo_images = [{**image, "file_name": f"video/{number}.jpg"} for number, image in enumerate(self.val)]
        return {
            "README.md": b"OWIS",
            "vCLR_voc_train2017_top10.json": _encode(self._with_proposals(known)),
            "vCLR_coco_train2017_top5.json": _encode(self._with_proposals(self._of(self.train))),
            "uvo_nonvoc_val_rle.json": _encode(
                _one_class(uvo_images, [_as_rle(one, uvo_images) for one in self._of(self.val)])
            ),
            "openworld_lvis_noncoco_val_correct.json": _encode(self._published_lvis()),
            "openworld_objects365_noncoco_val.json": _encode(self._published_objects365()),
            "style_coco_train2017.zip": zipped({f"style_coco_train2017/{name}": view for name, view in style.items()}),
            **{f"train2017_depth_cmap/{name}": view for name, view in depth.items()},
            **frames,
        }

    def _with_proposals(self, known: list[Json]) -> Json:
        proposals = []
        for number, image in enumerate(self.train):
            box = [5.0, 5.0, image["width"] / 3, image["height"] / 3]
            x, y, width, height = box
            polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
            one = {"id": 10**9 + number, "image_id": image["id"], "bbox": box, "area": width * height, "iscrowd": 0}
            proposals.append(_as_rle({**one, "segmentation": [polygon]}, self.train))
        return _one_class(self.train, [*known, *proposals])


def _one_class(images: list[Json], annotations: list[Json]) -> Json:
    objects = [{**one, "category_id": 1} for one in annotations]
    return {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "object"}]}


def _as_rle(annotation: Json, images: list[Json]) -> Json:
    image = next(one for one in images if one["id"] == annotation["image_id"])
    rle = coco_mask.merge(coco_mask.frPyObjects(annotation["segmentation"], image["height"], image["width"]))
    return {**annotation, "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}}


def _rendered(photo: bytes, view: str) -> bytes:
    image = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
    changed = 255 - image if view == "depth" else image[..., ::-1]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(changed)).save(buffer, "JPEG")
    return buffer.getvalue()


def _weights() -> bytes:
    """First weights, of the small detector that the experiments train here."""
    config = vclr.load_config("configs/small_detector.yaml", [])
    buffer = io.BytesIO()
    torch.save({"model": vclr.build_model(config).state_dict()}, buffer)
    return buffer.getvalue()


def _encode(content: Json) -> bytes:
    return json.dumps(content).encode()


def _serve_from(source: Json, address: str, served: Mapping[str, bytes]) -> None:
    """Turn an entry of the shipped catalog into one of the miniature: other addresses and numbers, the same names."""
    source.pop("counts", None)
    for file in source.get("files", ()):
        name = file["path"].rpartition("/")[2]
        file["urls"] = [f"{address}/{name}"]
        for key in ("bytes", "md5", "unpacked_bytes", "about_bytes"):
            file.pop(key, None)
        for path in file.get("yields", ()):
            photos = {"raw/coco2017/train2017": NUM_TRAIN, "raw/coco2017/val2017": NUM_VAL}
            file["yields"][path] = photos.get(path, file["yields"][path])
    if source.get("manual", {}).get("folders", {}).get("raw/objects365/val"):
        source["manual"]["folders"]["raw/objects365/val"] = NUM_VAL


def _publish_hub(server: FileServer, files: Mapping[str, bytes]) -> None:
    """Serve a repository as the hub does: its newest commit, the files of that one, their bytes."""
    api = f"/api/datasets/{REPOSITORY}"
    server.put(f"{api}/revision/main", json.dumps({"id": REPOSITORY, "sha": COMMIT}).encode())
    entries = []
    for path, content in files.items():
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        entries.append({"type": "file", "path": path, "size": len(content), "oid": "0" * 40, "lfs": lfs})
        server.put(f"/datasets/{REPOSITORY}/resolve/{COMMIT}/{path}", content)
    server.put(f"{api}/tree/{COMMIT}?recursive=true&expand=false", json.dumps(entries).encode())


def place_objects365(miniature: Miniature, folder: Path) -> None:
    """Do what `vclr fetch objects365` asks a person to do: unpack the archives, and put the json beside the photos."""
    photos = folder / "data/raw/objects365/val"
    photos.mkdir(parents=True)
    for content in miniature.archives_of_objects365().values():
        with tarfile.open(fileobj=io.BytesIO(content)) as file:
            file.extractall(photos, filter="data")
    (photos.parent / "zhiyuan_objv2_val.json").write_bytes(_encode(miniature.objects365))
