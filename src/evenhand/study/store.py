"""The run folder: every file appears complete or not at all, and one run at a time writes there.

`run.json`, `cells/<hash>.json`, `edits/<hash>/`, `overlap.json` (which edits share units) and
`beyond.json` (what edits did beyond their controls), both made at the end,
`cache/<hash>.safetensors` (readouts that cells share, or shards of a benchmark's; never needed to read a run), and
`cache/<hash>-fit/` (what a method that takes long has done of an unfinished cell). A cell's record is written last, so
a record stands for finished work.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from evenhand.core.compared import Comparisons
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, EvenhandError, UsageError
from evenhand.core.explained import Overlap
from evenhand.core.readout import Readout
from evenhand.core.record import CellRecord, CellSpec, RunRecord
from evenhand.core.scenario import Scenario
from evenhand.edits._file import load, save
from evenhand.study._readouts import decode, encode

_SCRATCH = ".tmp-"


class CannotWrite(CannotRun):
    """The disk is full or cannot be written: no later cell could be kept either."""


@dataclass(frozen=True)
class Store:
    """One run folder."""

    folder: Path
    notify: Callable[[str], None] = lambda line: None

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder for this process; raises CannotRun when another run holds it. Old scratch files go."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise CannotRun(
                f"{self.folder}: another run is writing there; wait for it, or give this one another output folder"
            ) from error
        except OSError as error:
            raise CannotRun(f"{self.folder}: cannot be locked ({error})") from error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for folder in (self.folder, self.folder / "cells", self.folder / "cache"):
            for path in folder.glob(f"{_SCRATCH}*"):
                path.unlink(missing_ok=True)
        for path in (self.folder / "edits").glob(".*"):
            shutil.rmtree(path, ignore_errors=True)

    def cell_path(self, hash_: str) -> Path:
        """Return where a cell's record lies."""
        return self.folder / "cells" / f"{hash_}.json"

    def cell(self, spec: CellSpec) -> CellRecord | None:
        """Return a finished cell, or None; one whose record or edit cannot be read is announced and made again."""
        path = self.cell_path(spec.hash)
        try:
            record = CellRecord.model_validate_json(path.read_bytes())
            if record.edit:
                load(self.folder / record.edit)
        except FileNotFoundError:
            return None
        except EvenhandError as error:
            self.notify(f"{error}; this cell is computed again")
            return None
        except (OSError, ValueError) as error:
            self.notify(f"{path}: damaged ({str(error).splitlines()[0]}); this cell is computed again")
            return None
        return record

    def write_cell(self, record: CellRecord, edit: Edit | None) -> None:
        """Write a cell: first its edit, then its record."""
        if edit is not None:
            folder = self.folder / record.edit
            save(edit, folder, record.spec.model, {"study_cell": record.spec.hash, "method": record.spec.method,
                                                   "settings": record.spec.settings, "scenario": record.spec.scenario,
                                                   "scenario_fingerprint": record.spec.scenario_fingerprint,
                                                   "fitted_on": list(record.spec.fitted_on),
                                                   "variations": list(record.spec.variations),
                                                   "seed": record.spec.seed})  # fmt: skip
            with writing(folder):
                for path in folder.iterdir():
                    _flush(path)
        write(self.cell_path(record.spec.hash), record.model_dump_json(indent=1).encode())
        shutil.rmtree(self.workplace(record.spec), ignore_errors=True)

    def workplace(self, spec: CellSpec) -> Path:
        """Return the folder where long work on a cell keeps what it has done so far; it goes when it is written."""
        return self.folder / "cache" / f"{spec.hash}-fit"

    def write_run(self, record: RunRecord) -> None:
        """Write `run.json`; keeps the date of the first start. Raises UsageError in the folder of another study."""
        path = self.folder / "run.json"
        with suppress(FileNotFoundError, ValidationError):
            earlier = RunRecord.model_validate_json(path.read_bytes())
            if earlier.name != record.name:
                raise UsageError(
                    f"{self.folder}: holds the run of another study, {earlier.name!r}; give {record.name!r} a folder "
                    "of its own with --out, or remove that one"
                )
            record = record.model_copy(update={"created": earlier.created})
        write(path, record.model_dump_json(indent=1).encode())

    def write_overlap(self, found: Overlap) -> None:
        """Write which edits of the run share units."""
        write(self.folder / "overlap.json", found.model_dump_json(indent=1).encode())

    def forget_beyond(self) -> None:
        """Remove what was said of controls before: it is of other cells until the run has ended."""
        with writing(self.folder):
            (self.folder / "beyond.json").unlink(missing_ok=True)

    def write_beyond(self, found: Comparisons) -> None:
        """Write what the edits of the run did beyond their controls."""
        write(self.folder / "beyond.json", found.model_dump_json(indent=1).encode())

    def readouts(self, key: str, scenario: Scenario, make: Callable[[], list[Readout]]) -> list[Readout]:
        """Return cached readouts, or make and keep them."""
        known = self.cached(key, scenario)
        return self.keep(key, make()) if known is None else known

    def cached(self, key: str, scenario: Scenario) -> list[Readout] | None:
        """Return the readouts kept under this key, or None; a damaged file is announced."""
        path = self._cache_path(key)
        try:
            return decode(path.read_bytes(), scenario)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.notify(f"{path}: damaged ({error}); measured again")
            return None

    def keep(self, key: str, readouts: list[Readout]) -> list[Readout]:
        """Keep readouts under a key, and return them."""
        write(self._cache_path(key), encode(readouts))
        return readouts

    def _cache_path(self, key: str) -> Path:
        return self.folder / "cache" / f"{key}.safetensors"


def read_record(folder: Path) -> RunRecord:
    """Read what a run folder is a run of; raises UsageError when it is none."""
    return read_run(folder, cells=False)[0]


def read_beyond(folder: Path) -> Comparisons | None:
    """Read what the edits of a run did beyond their controls; None where none has any, or the run is not finished."""
    path = Path(folder) / "beyond.json"
    try:
        return Comparisons.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CannotRun(f"{path}: is damaged ({str(error).splitlines()[0]}); run the study again") from error


def read_run(folder: Path, cells: bool = True) -> tuple[RunRecord, list[CellRecord]]:
    """Read a run folder: the run and its finished cells, in grid order; raises UsageError when it is none."""
    path = Path(folder) / "run.json"
    try:
        run = RunRecord.model_validate_json(path.read_bytes())
        files = [Path(folder) / "cells" / f"{ref.hash}.json" for ref in run.cells if cells]
        return run, [CellRecord.model_validate_json(file.read_bytes()) for file in files if file.is_file()]
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: expected a run folder with run.json, as `evenhand run` writes it") from error
    except (OSError, ValidationError) as error:
        raise CannotRun(f"{folder}: a record is damaged ({str(error).splitlines()[0]}); run the study again") from error


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn a failing disk into a plain sentence."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{path}: cannot be written ({error.strerror or error}); what is finished is intact. Free some space or "
            "choose another output folder, then run the same command again: it goes on where it stopped"
        ) from error


def write(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all: scratch file beside it, flush to disk, rename."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.parent / f"{_SCRATCH}{uuid.uuid4().hex}"
        try:
            with scratch.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
