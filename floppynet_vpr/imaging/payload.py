# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Decodes the payload of sensor_msgs/Image and sensor_msgs/CompressedImage, given as plain values.

No ROS is needed, so bags and nodes share it. Where cv_bridge is sound, a node has it unpack raw
images (`ros.image_decoder`), and the conversion to RGB is this package's in any case: the pixels
are the same with and without it. What it lacks is unpacked here: big-endian data under NumPy 2,
steps padded by any number of bytes.

How the less obvious payloads are read:

* 8UC3 and 8UC4 are taken as bgr8 and bgra8, 8UC1 and 16UC1 as mono8 and mono16.
* 16 bits become 8 as round(v * 255 / (2^bits - 1)), where so many bits are in use (`bit_depth`).
* Bayer mosaics are interpolated bilinearly; YUV is ITU-R BT.601, limited range.
* Signed and floating-point images are measurements (32FC1 is depth in metres, REP 118): scaling
  them to a picture would be a guess, so they are refused.
* An orientation noted in a JPEG's EXIF data is ignored, as image_transport does by default: the raw
  and the compressed topic of a camera must show the same pixels.
"""

import array
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.bit_depth import BitDepth
from floppynet_vpr.imaging.pixels import semi_planar_to_rgb8, to_rgb8

Buffer: TypeAlias = "bytes | bytearray | memoryview | array.array[int] | NDArray[np.uint8]"


class ImageError(VprError):
    """An image that cannot be decoded.

    Its `kind` is "encoding" (none this package reads), "empty" (no pixels), "step" (shorter than a
    row), "size" (bytes missing or too many) or "compressed" (damaged or unknown file); where frames
    are read from a disk also "file" (it cannot be opened) and "missing".
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, str(self))


@dataclass(frozen=True)
class Layout:
    """How an interleaved encoding lies in memory."""

    order: str  # a channel order of `pixels.to_rgb8`
    channels: int
    item_bytes: int = 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel to the next."""
        return self.channels * self.item_bytes

    def columns(self, width: int) -> int:
        """Pixels in a row, where two of them may share their chroma."""
        return width + width % 2 if self.order in ("uyvy", "yuyv") else width


UNPACKED: Final[dict[str, Layout]] = {
    **{f"{order}8": Layout(order, len(order)) for order in ("rgb", "bgr", "rgba", "bgra")},
    **{f"{order}16": Layout(order, len(order), 2) for order in ("rgb", "bgr", "rgba", "bgra")},
    **{
        f"bayer_{pattern}{8 * item_bytes}": Layout(f"bayer_{pattern}", 1, item_bytes)
        for pattern in ("rggb", "bggr", "gbrg", "grbg")
        for item_bytes in (1, 2)
    },
    "mono8": Layout("mono", 1),
    "mono16": Layout("mono", 1, 2),
    "8UC1": Layout("mono", 1),
    "8UC3": Layout("bgr", 3),
    "8UC4": Layout("bgra", 4),
    "16UC1": Layout("mono", 1, 2),
    "16UC3": Layout("bgr", 3, 2),
    "16UC4": Layout("bgra", 4, 2),
    "uyvy": Layout("uyvy", 2),
    "yuv422": Layout("uyvy", 2),
    "yuyv": Layout("yuyv", 2),
    "yuv422_yuy2": Layout("yuyv", 2),
}
"""Encodings whose pixels lie one after the other, with their layouts."""
_SEMI_PLANAR: Final = ("nv12", "nv21", "nv24")
ENCODINGS: Final[tuple[str, ...]] = (*UNPACKED, *_SEMI_PLANAR)
"""Every value of sensor_msgs/Image.encoding that `decode_image` reads."""

_DEPTH_TOPIC: Final = re.compile(r"(^|[/_])depth([/_]|$)")
_DEPTH_ENCODINGS: Final = ("16UC1", "32FC1")
_MEASUREMENT: Final = re.compile(r"(8S|16S|32S|32F|64F)C\d+")
# In a JPEG's scan, 00 follows an FF that is data, and D0 to D7 are restarts within it.
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_SMALLEST_MOSAIC: Final = 3  # OpenCV silently paints anything smaller black


def is_depth_topic(topic: str) -> bool:
    """Tell whether images on a topic are depth, by its name: depth_registered, aligned_depth_to."""
    return _DEPTH_TOPIC.search(topic) is not None


def refuse_depth(topic: str, encoding: str) -> None:
    """Raise ImageError for an image of depth, which only its topic's name tells from a picture.

    `encoding` is that of a raw image, or the format of a compressed one.
    """
    kind = encoding.partition(";")[0].strip()
    # compressedDepth is refused by `decode_compressed` on every topic: a relay would not help.
    if kind in _DEPTH_ENCODINGS and is_depth_topic(topic) and not _is_compressed_depth(encoding):
        raise ImageError(
            "encoding",
            f"{topic} carries {kind}, by its name the depth of things and no picture of them: use "
            "the camera's colour or mono topic. If it is a picture, publish it under a name "
            f"without 'depth': ros2 run topic_tools relay {topic} /picture",
        )


def decode_image(
    height: int,
    width: int,
    encoding: str,
    is_bigendian: bool,
    step: int,
    data: Buffer,
    depth: BitDepth | None = None,
) -> NDArray[np.uint8]:
    """Decode the fields of a sensor_msgs/Image, `encoding` one of `ENCODINGS`, to RGB.

    `step` may be any number that holds a row; the chroma rows of nv12 and nv21 have the same step,
    those of nv24 the double. `data` has exactly as many bytes as the rows take. `depth` is that of
    the camera, for encodings of 16 bits; None: all of them are in use. Returns (H, W, 3) uint8: for
    rgb8 a view on `data`, else a new array. Raises ImageError where the fields contradict each
    other, or the encoding is no picture.
    """
    if encoding not in _SEMI_PLANAR:
        pixels = unpack_image(height, width, encoding, is_bigendian, step, data)
        return picture_of(pixels, encoding, depth)[:, :width]
    _require_pixels(height, width)
    return _decode_semi_planar(height, width, encoding, step, _as_uint8(data))


def unpack_image(
    height: int, width: int, encoding: str, is_bigendian: bool, step: int, data: Buffer
) -> NDArray[Any]:
    """Lay out the data of a sensor_msgs/Image as pixels, for encodings in `UNPACKED`.

    Returns (H, W) or (H, W, C) uint8 or uint16, native byte order; W is even where two pixels share
    their chroma. Raises ImageError as `decode_image`.
    """
    layout = check_image(height, width, encoding, step, data)
    columns = layout.columns(width)
    pixels: NDArray[Any] = np.ndarray(
        (height, columns) if layout.channels == 1 else (height, columns, layout.channels),
        dtype=f"{'>' if is_bigendian else '<'}u{layout.item_bytes}",
        buffer=_as_uint8(data),
        strides=(step, layout.pixel_bytes, layout.item_bytes)[: 1 + min(2, layout.channels)],
    )
    # OpenCV wants native byte order and whole-item addresses; an odd step leaves neither.
    return np.require(pixels, f"=u{layout.item_bytes}", "A")


def check_image(height: int, width: int, encoding: str, step: int, data: Buffer) -> Layout:
    """Tell how an image of an encoding in `UNPACKED` lies in memory; raises as `decode_image`."""
    _require_pixels(height, width)
    layout = UNPACKED.get(encoding)
    if layout is None:
        raise ImageError("encoding", _why_not(encoding))
    if layout.order.startswith("bayer_") and min(height, width) < _SMALLEST_MOSAIC:
        raise ImageError("size", f"a {encoding} mosaic of {width}x{height} pixels has no colours")
    _check_step(step, layout.columns(width) * layout.pixel_bytes, width, encoding)
    _check_size(_as_uint8(data), height * step, height, step, encoding)
    return layout


def picture_of(
    pixels: NDArray[Any], encoding: str, depth: BitDepth | None = None
) -> NDArray[np.uint8]:
    """Convert pixels as `unpack_image` gives them to (H, W, 3) uint8 RGB."""
    return to_rgb8(pixels, UNPACKED[encoding].order, depth)


def _require_pixels(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ImageError("empty", f"the image has no pixels: height {height}, width {width}")


def decode_compressed(
    data: Buffer, format: str = "", depth: BitDepth | None = None
) -> NDArray[np.uint8]:
    """Decode the fields of a sensor_msgs/CompressedImage, or an image file's bytes, to RGB.

    The file inside, anything that OpenCV reads, decides about its codec, depth and channels.
    `format` is needed for two things it cannot tell: compressedDepth is refused, and
    compressed_image_transport stores a Bayer camera as the bare mosaic ("bayer_rggb8; png
    compressed "), which is interpolated here. `depth` is that of the camera, for files of 16 bits;
    None: all of them are in use. Returns (H, W, 3) uint8, without an EXIF orientation. Raises
    ImageError for depth or floating-point data, no data, or a file of unknown kind, damaged or cut
    off. (Wrong bytes inside a JPEG cannot be told from right ones: it has no checksum.)
    """
    if _is_compressed_depth(format):
        raise ImageError(
            "encoding",
            f"format {format!r} is a depth image, not a picture: use the camera's colour topic",
        )
    payload = _as_uint8(data)
    if payload.size == 0:
        raise ImageError("empty", "the compressed image has no data")
    try:
        decode = _decode_without_end if _lacks_its_end(payload) else _decode_file
        pixels = decode(payload)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(
            "compressed",
            f"{payload.size} bytes of format {format or 'unnamed'!r} are no whole image: "
            "cut off, damaged, or of a kind OpenCV cannot read",
        )
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    order = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels)
    if order is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            "encoding", f"a compressed image of {channels} channels of {pixels.dtype} is no picture"
        )
    return to_rgb8(pixels, _mosaic(format) or order if order == "mono" else order, depth)


def _decode_file(payload: NDArray[np.uint8]) -> NDArray[Any] | None:
    return cv2.imdecode(payload, cv2.IMREAD_UNCHANGED)


def _decode_without_end(payload: NDArray[np.uint8]) -> NDArray[Any] | None:
    """Decode a JPEG without end marker, or return None where more than that is missing.

    Nothing is missing when what follows makes no difference: a decoder that still waits for pixels
    would take them from there, and without anything it would paint the rest grey.
    """
    endings = (b"", 64 * b"\x00", 64 * b"\x55", 64 * b"\xb7\x6d\xda")
    decoded = [
        _decode_file(np.concatenate([payload, np.frombuffer(ending + b"\xff\xd9", np.uint8)]))
        for ending in endings
    ]
    first = decoded[0]
    if first is None or any(other is None or (other != first).any() for other in decoded[1:]):
        return None
    return first


def _lacks_its_end(payload: NDArray[np.uint8]) -> bool:
    """Tell whether a JPEG has no end marker.

    Segments are followed from the start: a thumbnail in one of them has an end marker of its own,
    and what lies behind the picture's (a Motion Photo's video) may hold any bytes.
    """
    data = payload.tobytes()
    if not data.startswith(b"\xff\xd8\xff"):
        return False
    at = 2
    while marker := _MARKER.search(data, at):
        if marker[1] == b"\xd9":
            return False
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return True


def _is_compressed_depth(format: str) -> bool:
    return "compresseddepth" in format.lower()


def _mosaic(format: str) -> str | None:
    """Return the Bayer order of a grey file that is a mosaic, None for a grey picture."""
    source, _, codec = format.partition(";")
    layout = UNPACKED.get(source.strip())
    stored_as = codec.partition("compressed")[2].strip()
    if layout is None or not layout.order.startswith("bayer_") or stored_as.startswith("mono"):
        return None
    return layout.order


def _decode_semi_planar(
    height: int, width: int, encoding: str, step: int, payload: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    shared = 1 if encoding == "nv24" else 2  # pixels per chroma pair, across and down
    rows, pairs = -(-height // shared), -(-width // shared)
    chroma_step = step * 2 // shared
    _check_step(step, pairs * shared, width, encoding)
    _check_size(payload, height * step + rows * chroma_step, height, step, encoding)
    luma = np.ndarray((height, width), np.uint8, payload, 0, (step, 1))
    chroma = np.ndarray((rows, pairs, 2), np.uint8, payload, height * step, (chroma_step, 2, 1))
    return semi_planar_to_rgb8(luma, chroma, v_first=encoding == "nv21")


def _as_uint8(data: Buffer) -> NDArray[np.uint8]:
    """View any buffer of bytes as a flat uint8 array, copying only what is not contiguous."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return np.frombuffer(data, np.uint8)


def _check_step(step: int, row_bytes: int, width: int, encoding: str) -> None:
    if step < row_bytes:
        raise ImageError(
            "step",
            f"step is {step}, but a row of {width} {encoding} pixels takes {row_bytes} bytes: "
            "the driver fills in step, width or encoding wrongly",
        )


def _check_size(
    payload: NDArray[np.uint8], expected: int, height: int, step: int, encoding: str
) -> None:
    if payload.size != expected:
        raise ImageError(
            "size",
            f"data has {payload.size} bytes, but {height} rows of {encoding} at step {step} take "
            f"{expected}: the message is cut off, or height or step is wrong",
        )


def _why_not(encoding: str) -> str:
    if _MEASUREMENT.fullmatch(encoding):
        return (
            f"encoding {encoding!r} holds measurements such as depth, not a picture: "
            "use the camera's colour or mono topic"
        )
    return f"encoding {encoding!r} is not supported; supported are {', '.join(ENCODINGS)}"
