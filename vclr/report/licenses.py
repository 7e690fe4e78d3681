"""The license ledger: under which terms the data, weights, proposals and views of an experiment may be used."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vclr.catalog.license_files import LICENSE_FILES
from vclr.coco.file import CocoFile, open_coco
from vclr.coco.record import read_split_record
from vclr.config import Config, DataSetConfig
from vclr.data.data_sets import test_set, training_set
from vclr.errors import UserError
from vclr.fetch.sources import License, Source, build_license, read_catalog, read_license
from vclr.image_folders.open import MANIFEST, each_folder, locate, open_folder
from vclr.json_text import parse_json
from vclr.object_proposals.proposals_file import list_licenses, read_info

UNKNOWN = License("not stated", commercial=False, because=f"nothing states them; a {LICENSE_FILES[0]} beside it can")
# Licenses of models, as their cards name them, that allow commercial use.
PERMISSIVE = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "unlicense")
# What the license of a single photo forbids or allows, by its name or address. A view is a derivative of its photo.
FORBIDDEN = {"non-commercial only": r"\bnc\b|non-?commercial", "no derivatives": r"\bnd\b|no-?deriv"}
ALLOWED = r"attribution|/licenses/by\b|\bcc0\b|public ?domain|no known copyright|government work"


@dataclass(frozen=True)
class Term:
    """Something in use: what it is, its path or address, the source that it comes from, and its license."""

    what: str
    path: str
    of: str
    license: License

    def __str__(self) -> str:
        """Describe it in two lines."""
        allowed = "yes" if self.license.commercial else "no"
        of = f"{self.of}: " if self.of else ""
        address = f" <{self.license.url}>" if self.license.url else ""
        terms = f"{of}{self.license.name}{address}; commercial use: {allowed}, {self.license.because}"
        return f"{self.what}  {self.path}\n    {terms}"


def catalog_terms() -> list[Term]:
    """List the terms of everything that `vclr fetch` knows."""
    terms = []
    for source in read_catalog().values():
        terms.append(Term(source.name, source.homepage, source.title, source.license))
        if source.annotations_license is not None:
            terms.append(Term(f"{source.name}, annotations", source.homepage, source.title, source.annotations_license))
        for file in source.files:
            if file.license is not None:
                terms.append(Term(f"{source.name}/{PurePosixPath(file.path).name}", file.urls[0], "", file.license))
    return terms


def terms_in_use(config: Config, evaluated: DataSetConfig | None = None) -> list[Term]:
    """List the terms of the training set, the test set and the first weights of an experiment.

    The test set is `evaluated`, by default the one that the configuration names. Each photo counts by the license that
    its json names, if it names one.
    """
    ledger = _Ledger(Path(config.data.root), read_catalog())
    terms = [
        *ledger.of_data_set("training", training_set(config)),
        *ledger.of_data_set("evaluation", evaluated or test_set(config)),
    ]
    if checkpoint := config.train.init_checkpoint:
        terms.append(ledger.of_path("first weights", Path(checkpoint)))
    if source := config.model.backbone.source:
        terms.append(ledger.of_path("first weights of the backbone", Path(source)))
    return terms


def refuse_unsafe(terms: Iterable[Term]) -> None:
    """Refuse terms that do not allow commercial use.

    Raises:
        UserError: names all of them, and why.
    """
    unsafe = [
        f"{term.what} ({term.license.name}: {term.license.because})" for term in terms if not term.license.commercial
    ]
    if unsafe:
        raise UserError(f"not safe for commercial use: {'; '.join(unsafe)}")


class _Ledger:
    """Find out what a path belongs to: a source of the catalog, or own data, which may have a declaration."""

    def __init__(self, root: Path, catalog: Mapping[str, Source]) -> None:
        self.root, self.catalog = root, catalog

    def of_data_set(self, part: str, data_set: DataSetConfig) -> Iterator[Term]:
        annotations = Path(data_set.annotations)
        yield from self._of_annotations(part, annotations)
        found = [self.of_path(f"photos ({part})", folder) for folder in each_folder(data_set.images)]
        counted = count_licenses(annotations) if annotations.is_file() else None
        for photos in {(photos.of, photos.license): photos for photos in reversed(found)}.values():
            yield Term(photos.what, photos.path, photos.of, counted or photos.license)
        for view, folder in data_set.views.items() if part == "training" else ():
            yield self.of_path(f"view {view}", Path(folder))
            yield from self._of_rendering(view, _read_rendering(Path(folder)))
        if data_set.proposals:
            yield self._of_proposals(f"object proposals ({part})", Path(data_set.proposals))

    def _of_rendering(self, view: str, manifest: Mapping[str, Any]) -> Iterator[Term]:
        """Yield the terms of the weights, the model and the pictures of styles that a view was rendered with."""
        for name, digest in manifest.get("weights", {}).items():
            known = ((source, file) for source in self.catalog.values() for file in source.files)
            found = next(((source, file) for source, file in known if file.sha256 == digest), None)
            of, terms = (found[0].title, found[0].license_of(found[1])) if found else ("own weights", UNKNOWN)
            yield Term(f"weights of view {view}", name, of, terms)
        if "model" in manifest:
            terms = of_model_card(manifest.get("license", ""))
            yield Term(f"model of view {view}", manifest["model"], manifest.get("revision", "own copy"), terms)
        styles = manifest.get("styles", {})
        if "sha256" in styles:  # generated textures have none
            declared = styles["license"]
            where = f"manifest of view {view}: styles: license"
            terms = UNKNOWN if declared is None else build_license(declared, where)
            yield Term(f"styles of view {view}", f"{styles['pictures']} pictures", "own data", terms)

    def _of_annotations(self, part: str, path: Path) -> Iterator[Term]:
        """Yield the terms of annotations and of the proposals among them, as the record of their split says."""
        record = read_split_record(path)
        made_of = {f"annotations ({part})": record and record.annotations}
        if record and record.proposals:
            made_of[f"object proposals ({part})"] = record.proposals
        for what, source in made_of.items():
            found = self._find(source.file) if source else None
            term = self.of_path(what, found or path, of_annotations=True)
            yield Term(what, path.as_posix(), term.of, term.license)

    def _of_proposals(self, what: str, path: Path) -> Term:
        """Return the terms of a file of proposals: those that its `info` states, besides those of the photos.

        Where it states none, for all of them or for some of what was merged, the terms of its place count.
        """
        term = self.of_path(what, path)
        info = read_info(path) if path.is_file() else {}
        stated = list_licenses(info)
        if not any(stated):
            return term
        terms = [of_model_card(name) if name else term.license for name in stated]
        because = ", ".join(f"{one.name}: {one.because}" for one in terms)
        of, names = str(info.get("source") or term.of), ", ".join(one.name for one in terms)
        return Term(what, term.path, of, License(names, all(one.commercial for one in terms), because))

    def _find(self, name: str) -> Path | None:
        """Find a file that a split was made of by the name in the split's record."""
        places = (path for depth in ("*/*", "*/*/*") for path in sorted(self.root.glob(f"{depth}/{glob.escape(name)}")))
        return next(places, None)

    def of_path(self, what: str, path: Path, of_annotations: bool = False) -> Term:
        """Return the terms of one file or folder."""
        source = self._source(path)
        if source is None:
            return Term(what, path.as_posix(), "own data", self._declared(path))
        own = next((file.license for file in source.files if self.root / file.path == path), None)
        of_kind = source.annotations_license if of_annotations else None
        return Term(what, path.as_posix(), source.title, own or of_kind or source.license)

    def _source(self, path: Path) -> Source | None:
        """Return the source of a path below the data folder, by the layout there: raw/<set>/, splits/<set>_..., ..."""
        place = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else ""
        kind, _, rest = place.partition("/")
        if kind == "views" and not _read_rendering(path):
            for source in self.catalog.values():
                if source.hub is not None and place in source.hub.places.values():
                    return source
        if kind == "splits":
            return next((self.catalog[name] for name in self.catalog if rest.startswith(f"{name}_")), None)
        return self.catalog.get(kind if kind == "weights" else rest.partition("/")[0])

    def _declared(self, path: Path) -> License:
        """Return what the nearest declaration says, from the folder of a path upwards."""
        if path.is_relative_to(self.root / "splits"):  # of a set, whose own folder is where a person writes
            path = self.root / "raw" / path.name.partition("_")[0] / path.name
        for folder in (path, *path.parents):
            for declaration in LICENSE_FILES:
                if (folder / declaration).is_file():
                    return read_license(folder / declaration)
        return UNKNOWN


def of_model_card(name: str) -> License:
    """Return the terms of a model whose card names a license by its SPDX id, "" if the card names none."""
    if not name:
        return License("not stated", commercial=False, because="the model's card names no license")
    is_permissive = name.lower() in PERMISSIVE
    because = "the license that the model's card names" if is_permissive else "a license that is not known to allow it"
    return License(name, is_permissive, because)


def _read_rendering(folder: Path) -> dict[str, Any]:
    """Return the manifest of a view that `vclr views` rendered; {} of any other folder."""
    if locate(folder) is None or MANIFEST not in (files := open_folder(folder)):
        return {}
    content = parse_json(files.read(MANIFEST), files.path_of(MANIFEST))
    return content if isinstance(content, dict) and "view" in content else {}


def count_licenses(annotations: Path) -> License | None:
    """Return the licenses of a json's photos as one, or None if it does not name them."""
    coco = open_coco(annotations)
    names = _names_of_licenses(coco)
    for position, image in enumerate(coco.images):
        if not isinstance(image, dict):
            raise UserError(f"{annotations}: images[{position}]: is not an object")
    counts = Counter(names.get(str(image.get("license")), "") for image in coco.images)
    if not any(name.strip() for name in counts):
        return None
    reasons: Counter[str] = Counter()
    for name, count in counts.items():
        reasons[_forbids(name)] += count
    allowed = reasons.pop("", 0)
    total = len(coco.images)
    because = ", ".join(f"{count} of {total} photos: {reason}" for reason, count in reasons.most_common())
    kinds = f"{len(counts)} licenses of their own" if len(counts) > 1 else next(iter(counts)).split(" http")[0]
    return License(kinds, not reasons, because or f"all {allowed} photos allow it")


def _names_of_licenses(coco: CocoFile) -> dict[str, str]:
    """Return name and address of each license of a json, by its id as text."""
    listed = coco.head.get("licenses") or []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise UserError(f"{coco.path}: `licenses` is not a list of objects; correct it, or leave it out")
    return {str(entry.get("id")): f"{entry.get('name', '')} {entry.get('url', '')}" for entry in listed}


def _forbids(license_name: str) -> str:
    """Return why a photo under a license is not safe for commercial use; "" if it is safe."""
    for reason, pattern in FORBIDDEN.items():
        if re.search(pattern, license_name, re.IGNORECASE):
            return reason
    return "" if re.search(ALLOWED, license_name, re.IGNORECASE) else "terms not known"
