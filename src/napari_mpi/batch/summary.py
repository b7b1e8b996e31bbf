"""The two summaries of an output folder: a table, and a page to look at."""

from __future__ import annotations

import base64
import csv
import io
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path

from napari_mpi.batch.errors import reason
from napari_mpi.batch.inputs import WORK_FOLDER, Job
from napari_mpi.batch.records import Record, all_records
from napari_mpi.io.atomic import write_bytes

__all__ = ["Summary"]

_COLUMNS = (
    "name",
    "status",
    "reason",
    "planes",
    "seconds",
    "noise",
    "correlation",
    "found",
    "verdict",
    "source",
    "target",
    "input_sha256",
    "output_sha256",
)
# Writing takes at most this share of the time.
_SHARE = 0.05
_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222;
  background: #fff }
table { border-collapse: collapse }
td, th { border-top: 1px solid #ccc; padding: .5em .8em; vertical-align: top;
  text-align: left }
td.name { max-width: 18em; overflow-wrap: anywhere }
td.words { max-width: 30em }
img { display: block; height: 160px; max-width: none; image-rendering: pixelated }
.failed { color: #a40000 } .done { color: #00601f }
"""


class Summary:
    """Keeps `batch.csv` and `batch.html` of an output folder up to date.

    Parameters
    ----------
    output : Path
        The output folder.
    jobs : iterable of Job
        What is to be done. Jobs of earlier runs stay in the summary if they are done,
        or if they failed and their image is still there.
    """

    def __init__(self, output: Path, jobs: Iterable[Job]) -> None:
        self._output = output
        self._own = {job.id: Record.of(job, "waiting") for job in jobs}
        self._refused: list[Record] = []
        self._next = 0.0

    def refuse(self, record: Record) -> None:
        """Take the record of an image that is no job, whatever job has its name."""
        self._refused.append(record)

    def add(self, job: Job, record: Record) -> None:
        """Take a record, and write the summaries if the last time is a while ago."""
        self._own[job.id] = record
        started = time.monotonic()
        if started >= self._next:
            self.write()
            ended = time.monotonic()
            self._next = ended + (ended - started) / _SHARE

    def records(self) -> dict[str, Record]:
        """Return the newest that is known of each job, by its id."""
        records = {
            key: record
            for key, record in all_records(self._output).items()
            if record.status == "done"
            or (record.status == "failed" and Path(record.source).exists())
        }
        for key, record in self._own.items():
            stored = records.get(key)
            if stored is None or stored.status != "done" or record.status == "done":
                records[key] = record
            elif record.status == "failed":
                # The place may be that of another image, which keeps it.
                same = stored.source == record.source
                records[key if same else f"{key}, {record.source}"] = record
            # Else another run has finished it since.
        return records

    def write(self) -> None:
        """Write both files; each is complete at any time.

        Warns
        -----
        UserWarning
            If they cannot be written: the images are more important.
        """
        try:
            self._write()
        except OSError as error:
            warnings.warn(f"There is no summary: {reason(error)}", stacklevel=3)

    def _write(self) -> None:
        records = self.records()
        folder = self._output / WORK_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        rows = [*records.values(), *self._refused]
        rows.sort(key=lambda record: record.name)
        thumbnails = {
            record.target: folder / "jobs" / key / "thumbnail.jpg"
            for key, record in records.items()
            if record.status == "done"
        }
        write_bytes(self._output / "batch.csv", _encoded(_csv(rows), "utf-8-sig"))
        page = _encoded(_html(rows, thumbnails), "utf-8")
        write_bytes(self._output / "batch.html", page)


def _encoded(text: str, encoding: str) -> bytes:
    # The name of a file can have bytes that are no text.
    return text.encode(encoding, errors="backslashreplace")


def _csv(records: list[Record]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for record in records:
        writer.writerow(
            "" if (value := getattr(record, name)) is None else value
            for name in _COLUMNS
        )
    return text.getvalue()


def _html(records: list[Record], thumbnails: dict[str, Path]) -> str:
    counts = Counter(record.status for record in records)
    said = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    rows = "\n".join(
        _html_row(record, thumbnails.get(record.target)) for record in records
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>napari-mpi batch</title><style>{_STYLE}</style></head><body>"
        f"<h1>napari-mpi batch</h1><p>{escape(said)}. The pictures show the input, the "
        "denoised image and the noise map of the middle plane in one stretch: equal "
        "distances in gray are equal distances in intensity, and the noise map's zero "
        "is the middle gray. The noise map should look like noise.</p>"
        "<table><tr><th>image</th><th>status</th><th>input, denoised, noise map</th>"
        "<th>noise (std)</th><th>neighbours share</th><th>planes</th><th>seconds</th>"
        f"<th>what was found</th></tr>\n{rows}\n</table></body></html>\n"
    )


def _html_row(record: Record, thumbnail: Path | None) -> str:
    picture = ""
    if record.status == "done" and thumbnail is not None and thumbnail.is_file():
        data = base64.b64encode(thumbnail.read_bytes()).decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    noise = "" if record.noise is None else f"{record.noise:.4g}"
    shared = (
        ""
        if record.correlation is None
        else f"{100 * max(record.correlation, 0):.0f} %"
    )
    seconds = f"{record.seconds:.1f}" if record.seconds else ""
    words = [record.reason, record.found, record.verdict]
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in words if text)
    css = "failed" if record.status == "failed" else "done" * (record.status == "done")
    cells = (
        f'<td class="name">{escape(record.name)}</td>'
        f'<td class="{css}">{escape(record.status)}</td><td>{picture}</td>'
        f"<td>{noise}</td><td>{shared}</td><td>{record.planes}</td><td>{seconds}</td>"
        f'<td class="words">{paragraphs}</td>'
    )
    return f"<tr>{cells}</tr>"
