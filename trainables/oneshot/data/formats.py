"""Four formats of annotations: the table of OS2D, VOC XML, YOLO text files, and FlickrLogos' text file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from raybayes.errors import DataError
from trainables.oneshot.data.annotations import SUFFIXES, Listing, Row, find_picture

_NEEDED = ("imageid", "classid", "lx", "ty", "rx", "by")
_SPLITS = ("train", "val", "test")


def read_csv(table: Path, images: Path) -> Listing:
    """One row a box, edges as shares of width and height.

    Columns by name: imageid, classid, lx, ty, rx, by; optional imagefilename (else "<imageid>.jpg"), classfilename
    (else the class images come from their folder), difficult (0 or 1), split. Rows of "train" are trained on; of any
    other split they are judged.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if lacking := [name for name in _NEEDED if name not in (reader.fieldnames or ())]:
            found = ", ".join(reader.fieldnames or ()) or "none"
            raise DataError(
                f"{table}: column {', '.join(lacking)} is missing; found {found};"
                f" wanted {', '.join(_NEEDED)}, and if you like imagefilename, classfilename, difficult, split."
            )
        listing = Listing()
        for line, cells in enumerate(reader, start=2):
            place = f"line {line}"
            try:
                x0, y0, x1, y1 = (float(cells[name]) for name in ("lx", "ty", "rx", "by"))
                difficult = bool(int(cells.get("difficult") or 0))
            except (TypeError, ValueError) as error:
                wanted = "lx, ty, rx, by are numbers, difficult is 0 or 1"
                raise DataError(f"{table}, {place}: {error}; {wanted}.") from None
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
        raise DataError(f"{place}: there is no picture {images / name}; set files.images to the folder that holds it.")
    listing.pictures[scene] = path


def read_voc(annotations: Path, images: Path) -> Listing:
    """A folder of VOC XML files; the sub-folders train, val, test are splits. Pixels count from 0."""
    listing = Listing()
    for path in sorted(annotations.rglob("*.xml")):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise DataError(f"{path} is not XML: {error}; export the annotations anew.") from None
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
                raise DataError(f"{place}: bndbox needs the numbers xmin, ymin, xmax, ymax.") from None
            x0, y0, x1, y1 = corners
            difficult = (item.findtext("difficult") or "0").strip() == "1"
            listing.rows.append(Row(place, scene, label, (x0, y0, x1, y1), False, difficult, split))
    return _some(listing, annotations, "*.xml")


def _voc_size(root: ElementTree.Element) -> tuple[int, int]:
    """Width and height as the file says; 0 where it does not."""
    wide, high = (root.findtext(f"size/{name}", "").strip() for name in ("width", "height"))
    return int(wide) if wide.isdecimal() else 0, int(high) if high.isdecimal() else 0


def _voc_picture(root: ElementTree.Element, inner: Path, images: Path) -> str:
    """The picture's name: beside the annotation's place, as the file says, or by the annotation's own name."""
    said = root.findtext("filename") or inner.stem
    for name in (str(inner.parent / said), said, str(inner.with_suffix(""))):
        if find_picture(images, name) is not None:
            return name
    return said


def read_yolo(labels: Path, images: Path) -> Listing:
    """A folder of text files "class x y w h" (centre and size as shares), with names in classes.txt or *.names there.

    The sub-folders train, val, test are splits; a picture without a text file has no objects.
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
                raise DataError(f"{place}: found {' '.join(cells)!r}; wanted: class x y w h.") from None
            if not 0 <= number < len(names):
                raise DataError(f"{place}: class {number} has no name; there are {len(names)}, from 0.")
            listing.rows.append(
                Row(place, scene, names[number], (x - w / 2, y - h / 2, x + w / 2, y + h / 2), True, False, split)
            )
    return _some(listing, images, "picture")


def _yolo_names(labels: Path) -> list[str]:
    for folder in (labels, labels.parent):
        for file in (folder / "classes.txt", *sorted(folder.glob("*.names"))):
            if file.is_file():
                return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise DataError(f"{labels}: the names of the classes are missing; put classes.txt there, one name a line.")


def read_flickr_logos(table: Path, images: Path) -> Listing:
    """FlickrLogos-27's text file: "file class subset x1 y1 x2 y2", pixels.

    Its subsets are nested, so that it repeats most rows; equal ones count once.
    """
    listing, known = Listing(), set[tuple[str, ...]]()
    for line, cells in _lines(table):
        place = f"line {line}"
        try:
            name, label, x0, y0, x1, y1 = cells[0], cells[1], *map(float, cells[3:7])
        except ValueError:
            wanted = "file class subset x1 y1 x2 y2"
            raise DataError(f"{table}, {place}: found {' '.join(cells)!r}; wanted: {wanted}.") from None
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
        raise DataError(f"{place}: found no {what}; give the folder or file that holds the annotations.")
    return listing


READERS = {"csv": read_csv, "voc": read_voc, "yolo": read_yolo, "flickr_logos": read_flickr_logos}
