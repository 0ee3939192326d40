"""Completes files that code leaves open, so that at the end of a run they hold everything written.

A script's files are closed when its interpreter exits. A cell's interpreter continues, so buffers are flushed,
compressed files and archives get their trailers, and the code can continue writing in the next run. Videos do not
support that: they are closed.
"""

import bz2
import gc
import gzip
import io
import lzma
import os
import stat
import struct
import sys
import weakref
import zipfile
from collections.abc import Callable

import belljar_imports

#: Types that are not files: all types of the zygote.
_others: set[type] = set()
#: Position of each compressed file or archive at its last trailer, to skip unchanged ones.
_ended: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def install() -> None:
    """Called in the zygote."""
    belljar_imports.after("cv2", track_videos)


def learn() -> None:
    """Called in the zygote, after its libraries are imported, so that cells can skip their types."""
    files = {kind for kind, _ in kinds()}
    seen, todo = set(), [object]
    while todo:
        one = todo.pop()
        if id(one) not in seen and one not in files:
            seen.add(id(one))
            todo += type.__subclasses__(one)
            try:
                _others.add(one)
            except TypeError:  # some metaclasses define equality and are not hashable
                pass


def track_videos(cv2) -> None:
    """The collector does not track objects of OpenCV, but it tracks those of a Python class."""

    class VideoWriter(cv2.VideoWriter):
        pass

    VideoWriter.__module__, VideoWriter.__qualname__ = "cv2", "VideoWriter"
    cv2.VideoWriter = VideoWriter


def kinds() -> list[tuple[type, Callable]]:
    """Types of writable files and the function that completes each, in order: a file that writes to
    another comes first."""
    found: list[tuple[type, Callable]] = [(io.TextIOWrapper, flush_text)]
    for module, name, act in (
        ("imageio.core.format", "Format.Writer", close),
        ("imageio.core.v3_plugin_api", "PluginV3", close_plugin),
        ("cv2", "VideoWriter", release),
        ("shelve", "Shelf", sync),
    ):
        one = sys.modules.get(module)
        for part in name.split("."):
            one = getattr(one, part, None)
        if isinstance(one, type):
            found.append((one, act))
    return [
        *found,
        (zipfile.ZipFile, end_zip),
        (gzip.GzipFile, end_gzip),
        (bz2.BZ2File, end_bz2),
        (lzma.LZMAFile, end_lzma),
        (io.BufferedWriter, flush_buffer),
        (io.BufferedRandom, flush_buffer),
    ]


def complete() -> list[OSError]:
    """Called at the end of a run. Returns the errors of files that could not be written."""
    failures = []
    objects = gc.get_objects()
    try:
        wanted = set(map(type, objects)) - _others
    except TypeError:
        wanted = {id(one): one for one in map(type, objects)}.values()
    if wanted:
        for kind, act in kinds():
            fit = {id(one) for one in wanted if kind in type.__dict__["__mro__"].__get__(one)}
            for file in [one for one in objects if id(type(one)) in fit] if fit else ():
                try:
                    act(file)
                except io.UnsupportedOperation:  # it has no descriptor; the file below it is handled separately
                    pass
                except OSError as error:
                    failures.append(error)
                except Exception:  # noqa: BLE001: it is closed, or an object of the code
                    pass
    hdf = sys.modules.get("h5py.h5f")
    if hdf is not None:
        flush_hdf(hdf)
    return failures


def is_safe(file) -> bool:
    """Whether a write cannot block: a regular file, or one of this cell's own outputs."""
    descriptor = file.fileno()
    return descriptor in (1, 2) or stat.S_ISREG(os.fstat(descriptor).st_mode)


def is_new(file, mark: object) -> bool:
    if _ended.get(file) == mark:
        return False
    _ended[file] = mark
    return True


def flush_text(file: io.TextIOWrapper) -> None:
    if not file.closed and is_safe(file):
        io.TextIOWrapper.flush(file)


def flush_buffer(file: io.BufferedWriter | io.BufferedRandom) -> None:
    if not file.closed and is_safe(file):
        (io.BufferedWriter if isinstance(file, io.BufferedWriter) else io.BufferedRandom).flush(file)


def end_zip(file: zipfile.ZipFile) -> None:
    """The central directory is at the end, and the next member overwrites it."""
    if file.fp is None or file._writing or not (file.mode in "wxa" and file._didModify and file._seekable):
        return
    with file._lock:
        if not is_new(file, file.start_dir):
            return
        file.fp.seek(file.start_dir)
        file._write_end_record()
        file.fp.flush()


def end_gzip(file: gzip.GzipFile) -> None:
    """The next write overwrites the trailer."""
    if file.fileobj is None or file.mode != gzip.WRITE or not file.fileobj.seekable():
        return
    pending = getattr(file, "_buffer", None)
    if pending is not None:
        pending.flush()
    if not is_new(file, file.size):
        return
    at = file.fileobj.tell()
    file.fileobj.write(file.compress.copy().flush() + struct.pack("<LL", file.crc, file.size & 0xFFFFFFFF))
    file.fileobj.flush()
    file.fileobj.seek(at)


def end_bz2(file: bz2.BZ2File) -> None:
    """The next write begins a new stream; a file can hold several."""
    if file._mode == bz2._MODE_WRITE and is_new(file, file.tell()):
        file._fp.write(file._compressor.flush())
        file._compressor = bz2.BZ2Compressor()
        file._fp.flush()


def end_lzma(file: lzma.LZMAFile) -> None:
    if file._mode == lzma._MODE_WRITE and is_new(file, file.tell()):
        file._fp.write(file._compressor.flush())
        file._compressor = lzma.LZMACompressor()
        file._fp.flush()


def close(file) -> None:
    file.close()


def close_plugin(file) -> None:
    if "w" in str(file.request.mode.io_mode.value):
        file.close()


def release(video) -> None:
    video.release()


def sync(shelf) -> None:
    shelf.sync()


def flush_hdf(hdf) -> None:
    try:
        for file in hdf.get_obj_ids(hdf.OBJ_ALL, hdf.OBJ_FILE):
            hdf.flush(file)
    except Exception:  # noqa: BLE001: a file opened for reading
        pass
