"""Small files in the formats of microscopes, for tests of reading them."""

import math
import struct

import numpy as np

# Leica's numbers for the axes that a file may have.
_LIF_AXES = {"X": 1, "Y": 2, "Z": 3, "T": 4}


def write_czi(path, data, axes, step=0.0, channels=()):
    """Write planes with Zeiss's own library."""
    from pylibCZIrw import czi

    outer = axes.removesuffix("S").removesuffix("YX")
    data = data if axes.endswith("S") else data[..., None]
    with czi.create_czi(str(path)) as document:
        for index in np.ndindex(data.shape[: len(outer)]):
            place = {"T": 0, "Z": 0, "C": 0} | dict(zip(outer, index, strict=True))
            document.write(data[index], plane=place)
        size = {f"scale_{axis}": step * 1e-6 for axis in "xyz"} if step else {}
        names = dict(enumerate(channels)) or None
        document.write_metadata("test", channel_names=names, **size)
    return path


def write_dv(path, data, step):
    """Write a Z stack as DeltaVision does."""
    import mrc

    size = {"dx": step, "dy": step, "dz": step}
    mrc.imsave(str(path), data, metadata=size, zAxisOrder="z")
    return path


def write_lif(path, images, step=0.0):
    """Write images, given by name as axes and data, with one channel each."""
    elements, blocks = "", b""
    for number, (name, (axes, data)) in enumerate(images.items()):
        sizes = ""
        for place, (axis, size) in enumerate(zip(axes, data.shape, strict=True)):
            increment = math.prod(data.shape[place + 1 :]) * data.itemsize
            unit, length = ("s", 2.0) if axis == "T" else ("m", step * 1e-6)
            sizes += (
                f'<DimensionDescription DimID="{_LIF_AXES[axis]}" Origin="0" '
                f'NumberOfElements="{size}" Length="{length * (size - 1)}" '
                f'Unit="{unit}" BytesInc="{increment}" BitInc="0"/>'
            )
        block = f"MemBlock_{number}"
        elements += (
            f'<Element Name="{name}"><Data><Image TextDescription="">'
            '<ImageDescription><Channels><ChannelDescription DataType="0" '
            f'ChannelTag="0" Resolution="{8 * data.itemsize}" LUTName="Green" '
            'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" IsLUTInverted="0" '
            f'BytesInc="0" BitInc="0"/></Channels><Dimensions>{sizes}</Dimensions>'
            "</ImageDescription></Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="{block}"/></Element>'
        )
        blocks += struct.pack(
            "<IIBQBI", 0x70, 2 * len(block) + 14, 0x2A, data.nbytes, 0x2A, len(block)
        )
        blocks += block.encode("utf-16-le") + data.tobytes()
    header = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}">'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    head = struct.pack("<IIBI", 0x70, len(header) + 5, 0x2A, len(header) // 2)
    path.write_bytes(head + header + blocks)
    return path


def write_nd2(path, data, step):
    """Write the frames of a time series of 16 bits, two seconds apart."""
    n_frames, height, width = data.shape
    plane = {
        "uiCompCount": _uint(1),
        "sDescription": _text("GFP"),
        "pFluorescentProbe": {"uiIndex": _uint(0)},
    }
    chunks = {
        "ImageAttributesLV!": _level(
            "SLxImageAttributes",
            uiWidth=_uint(width),
            uiWidthBytes=_uint(2 * width),
            uiHeight=_uint(height),
            uiComp=_uint(1),
            uiBpcInMemory=_uint(16),
            uiBpcSignificant=_uint(16),
            uiSequenceCount=_uint(n_frames),
            eCompression=_uint(2),
        ),
        "ImageMetadataSeqLV|0!": _level(
            "SLxPictureMetadata",
            bCalibrated=(1, b"\1"),
            dCalibration=_double(step),
            dTimeMSec=_double(0),
            dXPos=_double(0),
            dYPos=_double(0),
            dZPos=_double(0),
            sPicturePlanes={
                "uiCount": _uint(1),
                "uiCompCount": _uint(1),
                "sPlaneNew": {"a0": plane},
            },
        ),
        "ImageMetadataLV!": _level(
            "SLxExperiment",
            eType=_uint(1),
            uLoopPars={
                "uiCount": _uint(n_frames),
                "dStart": _double(0),
                "dPeriod": _double(2000),
                "dDuration": _double(2000 * n_frames),
                "dMinPeriodDiff": _double(0),
                "dMaxPeriodDiff": _double(0),
                "dAvgPeriodDiff": _double(0),
            },
        ),
        "CustomData|AcqTimesCache!": np.arange(n_frames, dtype="f8").tobytes(),
    } | {
        # Eight bytes of the time of each frame come first.
        f"ImageDataSeq|{number}!": bytes(8) + frame.astype("<u2").tobytes()
        for number, frame in enumerate(data)
    }
    signature = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    content = struct.pack("<IIQ", 0x0ABECEDA, 32, 64) + signature + b"Ver3.0".ljust(64)
    places = b""
    for name, chunk in chunks.items():
        content += bytes(-len(content) % 4096)
        places += name.encode() + struct.pack("<QQ", len(content), len(chunk))
        # A frame's pixels begin 4096 bytes after its chunk, behind 8 of its time.
        length = 4096 - 16 - 8 if name.startswith("ImageDataSeq") else len(name)
        content += struct.pack("<IIQ", 0x0ABECEDA, length, len(chunk))
        content += name.encode().ljust(length, b"\0") + chunk
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    places += end
    content += struct.pack("<IIQ", 0x0ABECEDA, 32, len(places))
    content += b"ND2 FILEMAP SIGNATURE NAME 0001!" + places + end
    path.write_bytes(content)
    return path


def _uint(value):
    return 3, struct.pack("<I", value)


def _double(value):
    return 6, struct.pack("<d", value)


def _text(value):
    return 8, (value + "\0").encode("utf-16-le")


def _level(name, **items):
    """Encode a tree of named values as ND2 does."""
    body = b""
    for key, item in items.items():
        if isinstance(item, dict):
            body += _level(key, **item)
        else:
            kind, value = item
            body += bytes([kind, len(key) + 1]) + _text(key)[1] + value
    head = bytes([11, len(name) + 1]) + _text(name)[1]
    length = len(head) + 12 + len(body)
    return head + struct.pack("<IQ", len(items), length) + body + bytes(8 * len(items))
