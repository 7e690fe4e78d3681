"""Write COCO annotations as other tools export them, from their documented formats. Each returns what is imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import SubElement

import numpy as np

from vclr.coco.annotations import bbox_corners, encode_mask, to_mask
from vclr.pre_annotations.labelstudio import encode_brush
from vclr.pre_annotations.photo import row_lengths

Json = dict[str, Any]


def by_photo(coco: Json) -> list[tuple[Json, list[tuple[str, Json]]]]:
    """Return each photo with the class and the annotation of its objects."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    return [
        (image, [(names[one["category_id"]], one) for one in coco["annotations"] if one["image_id"] == image["id"]])
        for image in coco["images"]
    ]


def pairs(polygon: list[float]) -> list[list[float]]:
    return np.array(polygon).reshape(-1, 2).tolist()


def dump(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def joined(polygons: list[list[float]]) -> list[float]:
    """Return polygons as one, joined by lines without width, as the converter of Ultralytics does."""
    first, *others = polygons
    flat = list(first)
    for polygon in others:
        flat += [*first[:2], *polygon, *polygon[:2], *first[:2]]
    return flat


def as_yolo(coco: Json, folder: Path) -> Path:
    """Write labels with polygons, and data.yaml with a list of photos, whose paths have backslashes."""
    numbers = {category["id"]: number for number, category in enumerate(coco["categories"])}
    listed = []
    for image, objects in by_photo(coco):
        sides = np.array([image["width"], image["height"]])
        rows = []
        for _, one in objects:
            points = np.array(pairs(joined(one["segmentation"]))) / sides
            rows.append(" ".join([str(numbers[one["category_id"]]), *(f"{value:.8f}" for value in points.ravel())]))
        path = folder / "labels" / Path(image["file_name"]).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows))
        listed.append(f".\\images\\{image['file_name']}")
    (folder / "train.txt").write_text("\n".join(listed))
    names = [category["name"] for category in coco["categories"]]
    return dump(folder / "data.yaml", {"path": "/elsewhere", "train": "train.txt", "nc": len(names), "names": names})


def as_yolo_boxes(coco: Json, folder: Path) -> Path:
    """Write labels with boxes, and data.yaml as Roboflow does: a dict of names, and a folder one level too high."""
    numbers = {category["id"]: number for number, category in enumerate(coco["categories"])}
    for image, objects in by_photo(coco):
        rows = []
        for _, one in objects:
            left, top, right, bottom = bbox_corners(one["bbox"])
            x, y = (left + right) / 2 / image["width"], (top + bottom) / 2 / image["height"]
            sides = (right - left) / image["width"], (bottom - top) / image["height"]
            rows.append(" ".join(map(str, (numbers[one["category_id"]], x, y, *sides))))
        path = folder / "labels" / Path(image["file_name"]).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n\n")
    names = {number: category["name"] for number, category in enumerate(coco["categories"])}
    return dump(folder / "data.yaml", {"train": "../images", "val": "../valid/images", "names": names})


def as_roboflow(coco: Json, folder: Path) -> Path:
    """Write COCO with ids from 0 on, the extra root category, and names with a hash."""
    numbers = {category["id"]: number for number, category in enumerate(coco["categories"], start=1)}
    categories = [{"id": 0, "name": "things", "supercategory": "none"}]
    categories += [
        {"id": numbers[one["id"]], "name": one["name"], "supercategory": "things"} for one in coco["categories"]
    ]
    ids = {image["id"]: number for number, image in enumerate(coco["images"])}
    images = []
    for image in coco["images"]:
        stem, _, suffix = image["file_name"].rpartition(".")
        name = f"{stem}_{suffix}.rf.0123456789abcdef0123456789abcdef.{suffix}"
        images.append({**image, "id": ids[image["id"]], "file_name": name, "extra": {"name": image["file_name"]}})
    annotations = [
        {**one, "id": number, "image_id": ids[one["image_id"]], "category_id": numbers[one["category_id"]]}
        for number, one in enumerate(coco["annotations"])
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return dump(folder / "_annotations.coco.json", content)


def as_cvat(coco: Json, folder: Path) -> Path:
    """Write CVAT's XML: an object of several parts is a group."""
    root = ElementTree.Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for category in coco["categories"]:
        SubElement(SubElement(labels, "label"), "name").text = category["name"]
    for number, (image, objects) in enumerate(by_photo(coco)):
        size = {"width": str(image["width"]), "height": str(image["height"])}
        photo = SubElement(root, "image", {"id": str(number), "name": image["file_name"], **size})
        for name, one in objects:
            group = {"group_id": str(one["id"])} if len(one["segmentation"]) > 1 else {}
            for polygon in one["segmentation"]:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs(polygon))
                common = {"label": name, "source": "manual", "occluded": "0", "z_order": "0", **group}
                SubElement(photo, "polygon", {"points": points, **common})
    folder.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)
    return folder / "annotations.xml"


def as_cvat_masks(coco: Json, folder: Path) -> Path:
    """Write CVAT's XML with a mask for each object."""
    path = as_cvat({**coco, "annotations": []}, folder)
    tree = ElementTree.parse(path)
    for photo, (image, objects) in zip(tree.getroot().iter("image"), by_photo(coco), strict=True):
        for name, one in objects:
            mask = to_mask(one["segmentation"], image["height"], image["width"])
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            place = {"left": columns[0], "top": rows[0], "width": crop.shape[1], "height": crop.shape[0]}
            text = {key: str(value) for key, value in place.items()}
            SubElement(photo, "mask", {"label": name, "rle": ", ".join(map(str, row_lengths(crop))), **text})
    tree.write(path, encoding="utf-8")
    return path


def as_cvat_coco(coco: Json, folder: Path) -> Path:
    """Write CVAT's COCO export of masks: all of them are crowds."""
    annotations = []
    for image, objects in by_photo(coco):
        for _, one in objects:
            rle = encode_mask(to_mask(one["segmentation"], image["height"], image["width"]))
            annotations.append({**one, "segmentation": rle, "iscrowd": 1, "attributes": {"occluded": False}})
    return dump(folder / "annotations/instances_default.json", {**coco, "annotations": annotations})


def _label_studio(coco: Json, folder: Path, value_of: Callable[[Json, str, Json], list[Json]]) -> Path:
    tasks = []
    for number, (image, objects) in enumerate(by_photo(coco), start=1):
        size = {"original_width": image["width"], "original_height": image["height"], "image_rotation": 0}
        result = [
            {"id": f"{one['id']}-{part}", "from_name": "l", "to_name": "i", **size, **value}
            for name, one in objects
            for part, value in enumerate(value_of(one, name, image))
        ]
        annotation = {"id": number, "was_cancelled": False, "created_at": "2024-01-02T00:00:00Z", "result": result}
        older = {**annotation, "created_at": "2023-01-02T00:00:00Z", "result": []}
        address = f"/data/upload/7/1a2b3c4d-{image['file_name']}"
        tasks.append({"id": number, "annotations": [annotation, older], "predictions": [], "data": {"image": address}})
    return dump(folder / "export.json", tasks)


def as_label_studio(coco: Json, folder: Path) -> Path:
    """Write Label Studio's JSON; as in its own converter, a rectangle precedes the polygons of its object."""

    def values(one: Json, name: str, image: Json) -> list[Json]:
        percent = 100 / np.array([image["width"], image["height"]])
        x, y, width, height = (np.array(one["bbox"]).reshape(2, 2) * percent).ravel().tolist()
        box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [name]}
        parts = [
            {"points": (np.array(pairs(polygon)) * percent).tolist(), "closed": True, "polygonlabels": [name]}
            for polygon in one["segmentation"]
        ]
        return [
            {"type": "rectanglelabels", "value": box},
            *({"type": "polygonlabels", "value": part} for part in parts),
        ]

    return _label_studio(coco, folder, values)


def as_label_studio_brush(coco: Json, folder: Path) -> Path:
    """Write Label Studio's JSON with a brush stroke for each object."""

    def values(one: Json, name: str, image: Json) -> list[Json]:
        mask = to_mask(one["segmentation"], image["height"], image["width"])
        return [{"type": "brushlabels", "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [name]}}]

    return _label_studio(coco, folder, values)


def as_label_studio_min(coco: Json, folder: Path) -> Path:
    """Write Label Studio's JSON-MIN."""
    tasks = json.loads(as_label_studio_brush(coco, folder).read_text())
    flat = [
        {
            "id": task["id"],
            "image": task["data"]["image"],
            "tag": [{**one["value"], **one} for one in task["annotations"][0]["result"]],
        }
        for task in tasks
    ]
    for task in flat:
        for region in task["tag"]:
            del region["value"]
    return dump(folder / "min.json", flat)


def as_label_studio_coco(coco: Json, folder: Path) -> Path:
    """Write Label Studio's COCO export on Windows: categories from 0 on, backslashes, and no `iscrowd` to rely on."""
    numbers = {category["id"]: number for number, category in enumerate(coco["categories"])}
    categories = [{"id": numbers[one["id"]], "name": one["name"]} for one in coco["categories"]]
    images = [{**image, "file_name": f"images\\1a2b3c4d-{image['file_name']}"} for image in coco["images"]]
    annotations = [
        {**one, "id": number, "category_id": numbers[one["category_id"]], "ignore": 0}
        for number, one in enumerate(coco["annotations"])
    ]
    return dump(folder / "result.json", {"images": images, "annotations": annotations, "categories": categories})


def _via_photos(coco: Json, attribute: str) -> Json:
    photos = {}
    for image, objects in by_photo(coco):
        regions = []
        for name, one in objects:
            flat = np.array(joined(one["segmentation"]))
            shape = {"name": "polygon", "all_points_x": flat[::2].tolist(), "all_points_y": flat[1::2].tolist()}
            regions.append({"shape_attributes": shape, "region_attributes": {attribute: name}})
        photo = {"filename": image["file_name"], "size": 1234, "regions": regions, "file_attributes": {}}
        photos[f"{image['file_name']}1234"] = photo
    return photos


def as_via(coco: Json, folder: Path) -> Path:
    """Write a project of VIA 2."""
    names = {category["name"]: "" for category in coco["categories"]}
    attributes = {"region": {"kind": {"type": "dropdown", "options": names}}, "file": {}}
    content = {"_via_settings": {}, "_via_img_metadata": _via_photos(coco, "kind"), "_via_attributes": attributes}
    return dump(folder / "via.json", content)


def as_via_csv(coco: Json, folder: Path) -> Path:
    """Write the csv of VIA 2."""
    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]

    def quoted(value: Any) -> str:
        return '"' + json.dumps(value).replace('"', '""') + '"'

    for photo in _via_photos(coco, "kind").values():
        regions = photo["regions"]
        start = f"{photo['filename']},1234,{quoted({})},{len(regions)}"
        if not regions:
            lines.append(f"{start},0,{quoted({})},{quoted({})}")
        for number, region in enumerate(regions):
            shape, attributes = quoted(region["shape_attributes"]), quoted(region["region_attributes"])
            lines.append(f"{start},{number},{shape},{attributes}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "via.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "via.csv"


def as_via3(coco: Json, folder: Path) -> Path:
    """Write a project of VIA 3, whose attribute stores the number of an option."""
    options = {str(number): category["name"] for number, category in enumerate(coco["categories"])}
    numbers = {name: number for number, name in options.items()}
    files, views, metadata = {}, {}, {}
    for number, (image, objects) in enumerate(by_photo(coco), start=1):
        file = {"fid": number, "fname": image["file_name"], "type": 2, "loc": 1, "src": ""}
        files[str(number)], views[str(number)] = file, {"fid_list": [number]}
        for name, one in objects:
            place = [7, *joined(one["segmentation"])]
            metadata[f"{number}_{one['id']}"] = {
                "vid": str(number),
                "flg": 0,
                "z": [],
                "xy": place,
                "av": {"1": numbers[name]},
            }
    about = {"1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": options}}
    content = {"project": {}, "config": {}, "attribute": about, "file": files, "view": views, "metadata": metadata}
    return dump(folder / "via3.json", content)


def as_via_coco(coco: Json, folder: Path) -> Path:
    """Write COCO with polygons as flat lists and ids as texts."""
    annotations = [
        {**one, "segmentation": joined(one["segmentation"]), "image_id": str(one["image_id"])}
        for one in coco["annotations"]
    ]
    images = [
        {key: value for key, value in image.items() if key not in ("width", "height")} for image in coco["images"]
    ]
    return dump(folder / "via_coco.json", {**coco, "images": images, "annotations": annotations})


def as_makesense(coco: Json, folder: Path) -> Path:
    """Write makesense's VGG json: regions in a dict, with the first point repeated at the end."""
    photos = {photo["filename"]: photo for photo in _via_photos(coco, "label").values()}
    for photo in photos.values():
        for region in photo["regions"]:
            for key in ("all_points_x", "all_points_y"):
                region["shape_attributes"][key].append(region["shape_attributes"][key][0])
        photo["regions"] = {str(number): region for number, region in enumerate(photo["regions"])}
    return dump(folder / "vgg.json", photos)


def as_makesense_coco(coco: Json, folder: Path) -> Path:
    """Write makesense's COCO: ids of annotations from 0 on, one polygon each."""
    annotations = [
        {**one, "id": number, "segmentation": [joined(one["segmentation"])]}
        for number, one in enumerate(coco["annotations"])
    ]
    return dump(folder / "coco.json", {"info": {}, **coco, "annotations": annotations})


def as_makesense_csv(coco: Json, folder: Path) -> Path:
    """Write makesense's csv of boxes, in whole pixels."""
    lines = []
    for image, objects in by_photo(coco):
        for name, one in objects:
            box = map(str, map(round, one["bbox"]))
            lines.append(",".join([name, *box, image["file_name"], str(image["width"]), str(image["height"])]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "boxes.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "boxes.csv"


def as_voc_xml(coco: Json, folder: Path) -> Path:
    """Write a file of boxes per photo in PASCAL VOC's XML, as makesense does."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, objects in by_photo(coco):
        root = ElementTree.Element("annotation")
        SubElement(root, "filename").text = image["file_name"]
        size = SubElement(root, "size")
        for side in ("width", "height"):
            SubElement(size, side).text = str(image[side])
        for name, one in objects:
            thing = SubElement(root, "object")
            SubElement(thing, "name").text = name
            corners = SubElement(thing, "bndbox")
            left, top, width, height = map(round, one["bbox"])
            values = {"xmin": left, "ymin": top, "xmax": left + width, "ymax": top + height}
            for key, value in values.items():
                SubElement(corners, key).text = str(value)
        ElementTree.ElementTree(root).write(folder / f"{Path(image['file_name']).stem}.xml", encoding="utf-8")
    return folder
