"""Refuse TIFF files that are cut off, that claim too much, or that lead elsewhere.

tifffile fills what is missing with zeros, takes memory for whatever a file declares,
and opens other files by the names that it finds. Each of these is checked before.
"""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import tifffile
from defusedxml.ElementTree import fromstring

from napari_mpi.io.image_data import FileError, require_unpackable, truncated

__all__ = [
    "check_directories",
    "check_pixels",
    "check_references",
    "read_ome",
    "warn_of_rest",
]

# What tifffile makes lists of, before it looks at the pixels.
_MAX_PLANES = 10_000_000
_JPEG = 7
# Markers that start a frame; the three between them mean something else.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def check_directories(tif: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file that ends before the last page's directory and tags.

    tifffile only logs this, and goes on with the pages and tags that are left.
    """
    form, file = tif.tiff, tif.filehandle

    def number(layout: str) -> int:
        value: int = struct.unpack(layout, file.read(struct.calcsize(layout)))[0]
        return value

    pointer, seen = 4 if form.version == 42 else 8, set[int]()
    try:
        while True:
            file.seek(pointer)
            offset = number(form.offsetformat)
            if offset == 0 or offset in seen:
                return
            seen.add(offset)
            file.seek(offset)
            n_tags = number(form.tagnoformat)
            # A damaged count must not take memory.
            tags = file.read(min(n_tags * form.tagsize, file.size))
            if len(tags) < n_tags * form.tagsize:
                raise struct.error("the directory is cut off")
            for code, kind, count, value in struct.iter_unpack(
                form.tagheaderformat, tags
            ):
                layout = tifffile.TIFF.DATA_FORMATS.get(kind, "B")
                n_bytes = count * struct.calcsize("<" + layout)
                if code < 32768 and n_bytes > form.tagoffsetthreshold:  # not private
                    (start,) = struct.unpack(form.offsetformat, value)
                    if start + n_bytes > file.size:
                        raise truncated(path, f"tag {code} is beyond its end")
            pointer = offset + form.tagnosize + n_tags * form.tagsize
    except struct.error as error:
        raise truncated(
            path, f"it should have a page at byte {offset}, it has {file.size} bytes"
        ) from error


def check_references(tif: tifffile.TiffFile, path: Path) -> None:
    """Refuse descriptions that name files elsewhere or more planes than can be.

    To be called before tifffile makes its series, which believes them.
    """
    if tif.is_ome and tif.ome_metadata:
        root = read_ome(tif.ome_metadata, path)
        if root is not None:
            _check_ome(root, tif.pages.first.size, path)
            _warn_of_binary_only(root, path)
    if tif.is_mmstack:
        _check_mmstack(tif.micromanager_metadata or {}, path)
    if tif.is_ndtiff:
        _check_ndtiff(path)


def read_ome(xml: str, path: Path) -> Element | None:
    """Return the root of an OME description, or None if it is no XML.

    Raises
    ------
    FileError
        If it declares entities, with which XML fills the memory or reads other files.
    """
    try:
        root: Element = fromstring(xml)
    except ParseError:
        return None
    except defusedxml.DefusedXmlException as error:
        raise FileError(
            f"{path} was not opened: its OME description declares XML entities "
            f"({error}), which no microscope writes and which could do harm. Ask "
            "where the file comes from."
        ) from error
    return root


def warn_of_rest(tif: tifffile.TiffFile, path: Path) -> None:
    """Say so where a description leaves out pages that the file has."""
    # Other programs hide small copies among the pages.
    if tif.series[0].kind.lower() not in ("ome", "imagej", "shaped", "generic"):
        return
    read = sum(
        page is not None and page.parent is tif
        for series in tif.series
        for page in series.pages
    )
    if len(tif.pages) > read:
        warnings.warn(
            f"{path.name} has {len(tif.pages)} pages, of which its description names "
            f"{read}; the others are not read. Save it again if planes are missing.",
            stacklevel=5,
        )


def _warn_of_binary_only(root: Element, path: Path) -> None:
    found = root.find("{*}BinaryOnly")
    if found is not None:
        warnings.warn(
            f"{path.name} is a part of an image that "
            f"{found.get('MetadataFile', 'another file')[:200]!r} describes, which is "
            "not read: the planes of this file alone are shown, without pixel size.",
            stacklevel=6,
        )


def _check_ome(root: Element, plane_size: int, path: Path) -> None:
    for uuid in root.iterfind(".//{*}UUID"):
        if uuid.text != root.get("UUID"):
            _check_beside(uuid.get("FileName", ""), path)
    for pixels in root.iterfind(".//{*}Pixels"):
        sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "XYZCT"}
        size = math.prod(sizes.values())
        # Absolute, for two negative sizes make a positive product.
        planes = [abs(size) // max(plane_size, 1)]
        planes += [abs(sizes["Z"] * sizes["C"] * sizes["T"])]
        for data in pixels.iterfind("{*}TiffData"):
            planes += [int(data.get(key, 0)) for key in ("PlaneCount", "NumPlanes")]
        _check_planes(max(planes), path)
    for along in root.iter():
        # Further axes, which tifffile counts out step by step.
        if "Along" in str(along.tag) and "Start" in along.attrib:
            start, end = float(along.attrib["Start"]), float(along.get("End", "nan"))
            step = float(along.get("Step", 1))
            _check_planes((end - start) / step if step else math.inf, path)


def _check_mmstack(metadata: dict[str, Any], path: Path) -> None:
    summary, places = metadata["Summary"], metadata["IndexMap"]
    axes = ("Channels", "Slices", "Frames", "Positions")
    counts = [
        max(int(summary.get(axis, 1)), int(column.max(initial=0)) + 1)
        for axis, column in zip(axes, places.T, strict=False)
    ]
    _check_planes(math.prod(counts), path)


def _check_ndtiff(path: Path) -> None:
    lowest: dict[str, int] = {}
    highest: dict[str, int] = {}
    for places, name, *_ in tifffile.read_ndtiff_index(path.parent / "NDTiff.index"):
        _check_beside(name, path)
        for axis, place in places.items():
            if isinstance(place, int):
                lowest[axis] = min(place, lowest.get(axis, place))
                highest[axis] = max(place, highest.get(axis, place))
    n_planes = math.prod(highest[axis] - lowest[axis] + 1 for axis in lowest)
    _check_planes(n_planes, path)


def _check_beside(name: str, path: Path) -> None:
    # The rules of Windows are the stricter ones, and the file may have come from there.
    there = PureWindowsPath(name)
    if there.anchor or ".." in there.parts:
        raise FileError(
            f"{path} was not opened: it names {name[:200]!r} as a part of itself, and "
            "parts are only looked for in its own folder. Put all files of the image "
            "into one folder, and save it again from the program that wrote it."
        )


def _check_planes(number: float, path: Path) -> None:
    if not number <= _MAX_PLANES:
        raise FileError(
            f"{path} is damaged: its description counts {number:.3g} planes, expected "
            f"at most {_MAX_PLANES}. Copy it again from its source."
        )


def check_pixels(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> None:
    """Refuse what tifffile would fill up with zeros, or unpack without end."""
    for page in series.pages:
        if page is None:
            raise FileError(
                f"{path}: planes of the image {series.axes} {series.shape} are "
                "missing. Copy it again, and all files that belong to it with it."
            )
        size = page.parent.filehandle.size
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        end = max((offset + count for offset, count in pieces), default=0)
        if series.dataoffset is not None:
            end = max(end, series.dataoffset + series.nbytes)
        if end > size:
            raise truncated(path, f"its pixels end at byte {end}, the file at {size}")
        if len(pieces) < math.prod(page.chunked) or not all(map(all, pieces)):
            raise FileError(
                f"{path}: parts of the pixels were never written, found {len(pieces)} "
                f"of {math.prod(page.chunked)} pieces or empty ones. Save it again."
            )
    _check_unpacked(series, path)
    images = (tif.imagej_metadata or {}).get("images", 1)
    found = series.size // (series.keyframe.imagelength * series.keyframe.imagewidth)
    if images > found:
        message = (
            f"{path}: expected {images} planes as its ImageJ description says, found "
            f"{found}. Copy or save it again."
        )
        # Over 4 GB ImageJ writes a single directory, and planes can be cut off.
        if not tif.pages.is_multipage:
            raise FileError(message)
        warnings.warn(message, stacklevel=5)


def _check_unpacked(series: tifffile.TiffPageSeries, path: Path) -> None:
    """Refuse a little that unpacks into a lot."""
    page, pages = series.keyframe, [one for one in series.pages if one is not None]
    found = {one.parent.filehandle.path: one.parent.filehandle.size for one in pages}
    packed = sum(found.values())
    piece = math.prod(page.chunks) * series.dtype.itemsize
    for unpacked in (series.nbytes, piece):
        require_unpackable(path, packed, unpacked)
    if page.compression == _JPEG:
        for one in pages:
            _check_jpeg(one, page, path)


def _check_jpeg(page: Any, keyframe: tifffile.TiffPage, path: Path) -> None:
    """Refuse pieces that declare themselves larger than the page says they are."""
    file, length = page.parent.filehandle, keyframe.imagelength
    limits = (keyframe.tilelength or length, keyframe.tilewidth or keyframe.imagewidth)
    if file.closed:
        file.open()
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        shape = _jpeg_shape(file.read(min(count, 2**16)))
        # Encoders round up to whole blocks.
        if shape is None or any(s > n + 64 for s, n in zip(shape, limits, strict=True)):
            raise FileError(
                f"{path} is damaged: a JPEG piece of at most {limits} pixels says it "
                f"has {shape}. Copy it again from its source."
            )


def _jpeg_shape(head: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker, length = struct.unpack(">BH", head[place + 1 : place + 4])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return height, width
        place += 1 if marker == 0xFF else 2 + length
    return None
