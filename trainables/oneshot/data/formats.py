"""The formats of annotations: the table of OS2D, VOC XML, YOLO text files, and FlickrLogos' text file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from raybayes.errors import DataError
from trainables.oneshot.config import FileFormat
from trainables.oneshot.data.annotations import SUFFIXES, Listing, Reader, Row, find_picture
from trainables.oneshot.registry import require_same_names

_NEEDED = ("imageid", "classid", "lx", "ty", "rx", "by")
_SPLITS = ("train", "val", "test")


def read_csv(table: Path, images: Path) -> Listing:
    """One row per box, with edges as shares of width and height.

    Columns by name: imageid, classid, lx, ty, rx, by; optional imagefilename (else "<imageid>.jpg"), classfilename
    (else the class images come from their folder), difficult (0 or 1), split. Rows of the split "train" are for
    training, those of any other split for evaluation.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in _NEEDED if name not in (reader.fieldnames or ())]:
            found = ", ".join(reader.fieldnames or ()) or "none"
            raise DataError(
                f"{table}: column {', '.join(missing)} is missing; found {found}; required are"
                f" {', '.join(_NEEDED)}, optional are imagefilename, classfilename, difficult, split."
            )
        listing = Listing()
        for line, cells in enumerate(reader, start=2):
            place = f"line {line}"
            try:
                x0, y0, x1, y1 = (float(cells[name]) for name in ("lx", "ty", "rx", "by"))
                difficult = bool(int(cells.get("difficult") or 0))
            except (TypeError, ValueError) as error:
                expected = "lx, ty, rx, by must be numbers, difficult 0 or 1"
                raise DataError(f"{table}, {place}: {error}; {expected}.") from None
            scene, label = cells["imageid"], cells["classid"]
            split = "" if not cells.get("split") else "train" if cells["split"] == "train" else "test"
            listing.rows.append(Row(place, scene, label, (x0, y0, x1, y1), True, difficult, split))
            _put_picture(listing, scene, cells.get("imagefilename") or f"{scene}.jpg", images, f"{table}, {place}")
            if cells.get("classfilename"):
                listing.class_files[label] = (place, table.parent / cells["classfilename"])
    return listing


def _put_picture(listing: Listing, scene: str, name: str, images: Path, place: str) -> None:
    if scene in listing.pictures:
        return
    path = find_picture(images, name)
    if path is None:
        raise DataError(f"{place}: the picture {images / name} does not exist; set files.images to its folder.")
    listing.pictures[scene] = path


def read_voc(annotations: Path, images: Path) -> Listing:
    """A folder of VOC XML files; the subfolders train, val, test are splits. Pixels count from 0."""
    listing = Listing()
    for path in sorted(annotations.rglob("*.xml")):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise DataError(f"{path} is not XML: {error}; export the annotations again.") from None
        inner = path.relative_to(annotations)
        scene, split = str(inner.with_suffix("")), _split_of(inner)
        listing.splits[scene] = split
        listing.sizes[scene] = _voc_size(root)
        _put_picture(listing, scene, _voc_picture(root, inner, images), images, str(path))
        for i, item in enumerate(root.iter("object"), start=1):
            place = f"{path.name}, object {i}"
            try:
                corners = [float(item.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")]
                label = item.findtext("name") or ""
            except ValueError:
                raise DataError(f"{place}: bndbox must contain the numbers xmin, ymin, xmax, ymax.") from None
            x0, y0, x1, y1 = corners
            difficult = (item.findtext("difficult") or "0").strip() == "1"
            listing.rows.append(Row(place, scene, label, (x0, y0, x1, y1), False, difficult, split))
    return _some(listing, annotations, "*.xml")


def _voc_size(root: ElementTree.Element) -> tuple[int, int]:
    """Width and height according to the file; 0 if it lacks them."""
    wide, high = (root.findtext(f"size/{name}", "").strip() for name in ("width", "height"))
    return int(wide) if wide.isdecimal() else 0, int(high) if high.isdecimal() else 0


def _voc_picture(root: ElementTree.Element, inner: Path, images: Path) -> str:
    """The picture's name: the file's `filename`, beside the annotation or not, else the annotation's own name."""
    named = root.findtext("filename") or inner.stem
    for name in (str(inner.parent / named), named, str(inner.with_suffix(""))):
        if find_picture(images, name) is not None:
            return name
    return named


def read_yolo(labels: Path, images: Path) -> Listing:
    """A folder of text files "class x y w h" (centre and size as shares), with names in classes.txt or *.names there.

    The subfolders train, val, test are splits; a picture without a text file has no objects.
    """
    names = _yolo_names(labels)
    listing = Listing()
    for path in sorted(p for p in images.rglob("*") if p.suffix in SUFFIXES):
        inner = path.relative_to(images)
        scene, split = str(inner.with_suffix("")), _split_of(inner)
        listing.pictures[scene], listing.splits[scene] = path, split
        text = labels / inner.with_suffix(".txt")
        for line, cells in _lines(text) if text.is_file() else ():
            place = f"{text.name}, line {line}"
            try:
                number, (x, y, w, h) = int(cells[0]), map(float, cells[1:5])
            except ValueError:
                raise DataError(f"{place}: found {' '.join(cells)!r}; expected: class x y w h.") from None
            if not 0 <= number < len(names):
                raise DataError(
                    f"{place}: class {number} is not among the {len(names)} names, which count from 0; add it."
                )
            listing.rows.append(
                Row(place, scene, names[number], (x - w / 2, y - h / 2, x + w / 2, y + h / 2), True, False, split)
            )
    return _some(listing, images, "picture")


def _yolo_names(labels: Path) -> list[str]:
    for folder in (labels, labels.parent):
        for file in (folder / "classes.txt", *sorted(folder.glob("*.names"))):
            if file.is_file():
                return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise DataError(f"{labels}: the names of the classes are missing; put classes.txt there, one name per line.")


def read_flickr_logos(table: Path, images: Path) -> Listing:
    """FlickrLogos-27's text file: "file class subset x1 y1 x2 y2", pixels.

    Its subsets are nested, so the file repeats most rows; equal rows count once.
    """
    listing, known = Listing(), set[tuple[str, ...]]()
    for line, cells in _lines(table):
        place = f"line {line}"
        try:
            name, label, x0, y0, x1, y1 = cells[0], cells[1], *map(float, cells[3:7])
        except ValueError:
            expected = "file class subset x1 y1 x2 y2"
            raise DataError(f"{table}, {place}: found {' '.join(cells)!r}; expected: {expected}.") from None
        row = (name, label, *cells[3:7])
        if row in known:
            continue
        known.add(row)
        scene = Path(name).stem
        listing.rows.append(Row(place, scene, label, (x0, y0, x1, y1), False))
        _put_picture(listing, scene, name, images, f"{table}, {place}")
    return _some(listing, table, "row")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if cells := text.split():
            yield line, cells


def _split_of(inner: Path) -> str:
    top = inner.parts[0] if len(inner.parts) > 1 else ""
    return "" if top not in _SPLITS else "train" if top == "train" else "test"


def _some(listing: Listing, place: Path, what: str) -> Listing:
    if not listing.pictures:
        raise DataError(f"{place}: no {what} found; give the folder or file of the annotations.")
    return listing


READERS: dict[FileFormat, Reader] = {
    "csv": read_csv,
    "voc": read_voc,
    "yolo": read_yolo,
    "flickr_logos": read_flickr_logos,
}
require_same_names("files.format", FileFormat, READERS)
