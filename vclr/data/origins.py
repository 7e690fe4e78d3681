"""What brings the files below a data folder: the sources that are fetched, and the splits that are made of them.

The rules of the workflow ask. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from vclr.catalog.data_sets import COLLECTIONS, REBUILT, SPLIT_FILES, find_part
from vclr.fetch.sources import Source, read_catalog
from vclr.image_folders.open import locate


class Origins:
    """Where the files of each set lie below a data folder, and which file stands for them in the workflow.

    Attributes:
        root: the data folder.
        fetched: names of the sources that are fetched as a whole; the file FETCHED in the folder stands for all of it.
        views: (set, view) of each published view -> what `vclr fetch` calls it.
        models: name of each folder below `weights/` that is a model -> what `vclr fetch` calls it.
    """

    def __init__(self, root: str = "data", catalog: str = "", evaluation_files: str = "") -> None:
        """Read the sources that `vclr fetch` knows, and those of a catalog of the user's own.

        Args:
            root: the data folder.
            catalog: the user's own catalog, if there is one.
            evaluation_files: `evaluation.files` of all experiments, if it is the same for all.

        Raises:
            UserError: the catalog is not what it should be.
        """
        self.root = Path(root)
        sources = read_catalog(Path(catalog) if catalog else None)
        self._requires = {name: source.requires for name, source in sources.items() if _is_fetched_whole(source)}
        self.fetched = list(self._requires)
        self._evaluates_published = evaluation_files != REBUILT
        self._manual = {name: source.manual for name, source in sources.items() if source.manual}
        self.views = {
            (folder.split("/")[1], folder.split("/")[2]): f"{source.name}/{place.rstrip('/')}"
            for source in sources.values()
            for place, folder in (source.hub.places if source.hub else {}).items()
            if folder.startswith("views/")
        }

        self.models = {
            model: name if source.folder == f"weights/{model}" else f"{name}/{model}"
            for name, source in sources.items()
            for model in _folders_of_weights(source)
        }

    def marker_of(self, source: str) -> str:
        """Return the file that stands for a fetched source."""
        return f"{self.root}/raw/{source}/FETCHED"

    def required_by(self, source: str) -> list[str]:
        """Return the files that stand for the sources that another one needs.

        For photos that a person puts in place without their official annotations, a published json from a collection is
        needed too: the photos are verified against it.
        """
        needed = [self.marker_of(name) for name in dict.fromkeys(part.split("/")[0] for part in self._requires[source])]
        jsons = [self.root / path for path in self._manual[source].annotations] if source in self._manual else []
        if not self._evaluates_published or any(path.is_file() for path in jsons):
            return needed
        return needed + [path.as_posix() for path in jsons if path.relative_to(self.root).parts[1] in COLLECTIONS]

    def source_of(self, path: str) -> str:
        """Return the file whose change says that annotations or images changed.

        Of a source that is fetched or generated this is the file that stands for it, else the path itself; images may
        be a folder or its zip.
        """
        raw, plain = self.root / "raw", Path(path)
        source = plain.relative_to(raw).parts[0] if plain.is_relative_to(raw) and plain != raw else ""
        if source in self.fetched:
            return self.marker_of(source)
        if plain == raw / "toy" / "images":
            return f"{raw}/toy/manifest.json"
        return (locate(path) or plain).as_posix()

    def view_source(self, folder: str) -> str:
        """Return the manifest of a view that a rule writes; other folders, and zips, stand for themselves."""
        path = locate(folder) or Path(folder)
        is_made = path.is_relative_to(self.root / "views") and path.suffix != ".zip"
        return (path / "manifest.json" if is_made else path).as_posix()

    def images_of(self, name: str, part: str = "") -> str:
        """Return the folder of the photos of a part of a set, by default of its first one."""
        return f"{self.root}/{find_part(name, part).images[0]}"

    def annotations_of(self, name: str, part: str) -> str:
        """Return the json that names the photos of a part of a set."""
        return f"{self.root}/{find_part(name, part).json}"

    def split_inputs(self, name: str) -> list[str]:
        """List the files that a published split is made of."""
        data_set = SPLIT_FILES[name]
        proposals = [f"{self.root}/{data_set.proposals}"] if data_set.proposals else []
        return [self.source_of(f"{self.root}/{data_set.json}"), *proposals]

    def compared_files(self, name: str) -> list[str]:
        """List the files that say that the official or the published json of a test set changed.

        A json whose source is only there for this comparison stands for itself, so that nothing is fetched for it.
        """
        known = SPLIT_FILES[name]
        assert known.published is not None
        photos = {self.source_of(f"{self.root}/{folder}") for folder in known.images}
        files = []
        for path in (f"{self.root}/{known.json}", f"{self.root}/{known.published[1]}"):
            source = self.source_of(path)
            is_fetched = source in photos or Path(source).is_file() or not Path(path).is_file()
            files.append(source if is_fetched else path)
        return files

    def comparison_arguments(self, name: str) -> str:
        """Return how the two are compared, as words of `vclr split`."""
        return SPLIT_FILES[name].comparison_arguments(self.root)

    def split_arguments(self, name: str) -> str:
        """Return how a published split is made, as words of `vclr split`."""
        return SPLIT_FILES[name].split_arguments(self.root)


def how_to_get(path: str | Path) -> str:
    """Say how a missing file `<data folder>/raw/<source>/...` is got; empty if no source is known to have it."""
    parts = Path(path).parts
    if "raw" not in parts[:-2]:
        return ""
    at = len(parts) - 1 - parts[::-1].index("raw")
    root, json, (name, *below) = Path(*parts[:at]), "/".join(parts[at:]), parts[at + 1 :]
    source = read_catalog().get(name)
    if source is None:
        return ""
    if source.manual and not (source.hub and below[-1] in source.hub.names):
        return "put it in place by hand (docs/data.md)" if json in source.manual.annotations else ""
    part = f"/{'/'.join(below)}" if name in COLLECTIONS else ""
    return f"get it with `vclr fetch {name}{part}" + ("`" if root == Path("data") else f" --output {root}`")


def _is_fetched_whole(source: Source) -> bool:
    """Tell a data set from scenes that are generated, from weights, and from a collection of single files."""
    return source.folder == f"raw/{source.name}" and not source.generated and source.name not in COLLECTIONS


def _folders_of_weights(source: Source) -> set[str]:
    """Return the folders below `weights/` that hold a model of a source."""
    places = [source.folder, *(file.path.rpartition("/")[0] for file in source.files)]
    return {place.split("/")[1] for place in places if place.startswith("weights/")}
