"""Write and spoil image files for the tests."""

import tifffile

from napari_mpi.io.files import ImageData, read_image, write_image


def an_image(data, axes, scale=None, units=None, **more):
    return ImageData(
        data,
        axes,
        scale or (1.0,) * data.ndim,
        units or ("pixel",) * data.ndim,
        **more,
    )


def round_trip(path, image):
    write_image(path, image)
    return read_image(path)


def write_spread(folder, stack):
    """Write an OME-TIFF whose planes of 16 bits lie in a file each."""
    names = [f"z{number}.ome.tif" for number in range(len(stack))]
    uuids = [f"urn:uuid:{number:032x}" for number in range(len(stack))]
    places = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for z, (name, uuid) in enumerate(zip(names, uuids, strict=True))
    )
    n_planes, height, width = stack.shape
    for name, uuid, plane in zip(names, uuids, stack, strict=True):
        ome = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="{width}" SizeY="{height}" '
            f'SizeZ="{n_planes}" SizeC="1" SizeT="1">'
            '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{places}</Pixels></Image></OME>"
        )
        tifffile.imwrite(folder / name, plane, description=ome, metadata=None)
    return [folder / name for name in names]


def cut_to(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def patch(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
