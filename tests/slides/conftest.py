"""Slides in formats that have no sample, written from a real one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image, ImageCms
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, JPEGBaseline8Bit, generate_uid

VL_WSI = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
NOT_JFIF_BUT_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # what the tiles of this scanner are


@pytest.fixture(scope="session")
def dicom_folder(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM slide: level 0 is the scanner's own JPEG tiles, then a half and a quarter; label, overview."""
    folder = tmp_path_factory.mktemp("DICOM Präparat")
    common = of_one_slide()
    with tifffile.TiffFile(cmu) as file:
        page = file.pages[0]
        tables = page.jpegtables[:-2]
        tiles = [page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts)]
        frames = [
            tables[:2] + NOT_JFIF_BUT_RGB + tables[2:] + data[2:]
            for data, *_ in sorted(tiles[0], key=lambda t: t[1])
        ]
        whole, tile = page.asarray(), page.tilelength
    write_dicom(
        folder / "a.dcm", common, "VOLUME", frames, whole.shape[:2], tile, (0.000499, 0.000499), "RGB"
    )
    for i, step in enumerate((2, 4), 1):
        height, width = (side // step for side in whole.shape[:2])
        small = whole[: height * step, : width * step].reshape(height, step, width, step, 3).mean((1, 3))
        frames = [jpeg(part) for part in cut(np.rint(small).astype(np.uint8), tile)]
        spacing = 0.000499 * step
        write_dicom(folder / f"{i}.dcm", common, "VOLUME", frames, (height, width), tile, (spacing, spacing))
    with openslide.OpenSlide(cmu) as slide:
        for name, kind in (("label", "LABEL"), ("macro", "OVERVIEW")):
            image = np.asarray(slide.associated_images[name].convert("RGB"))
            size = image.shape[:2]
            write_dicom(folder / f"{name}.dcm", common, kind, [jpeg(image)], size, size, (0.01, 0.01))
    return folder


def write_dicom(
    path: Path,
    common: Dataset,
    kind: str,
    frames: Sequence[bytes],
    shape: tuple[int, int],
    tile: int | tuple[int, int],
    spacing: tuple[float, float],
    photometric: str = "YBR_FULL_422",
) -> None:
    """Write one instance of VL Whole Slide Microscopy (PS3.3 A.32.8), TILED_FULL, JPEG."""
    rows, columns = (tile, tile) if isinstance(tile, int) else tile
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = VL_WSI, generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.update(common)
    data.SOPClassUID, data.SOPInstanceUID = VL_WSI, meta.MediaStorageSOPInstanceUID
    original = kind != "VOLUME" or photometric == "RGB"
    data.ImageType = [
        "ORIGINAL" if original else "DERIVED",
        "PRIMARY",
        kind,
        "NONE" if original else "RESAMPLED",
    ]
    data.InstanceNumber = int.from_bytes(path.stem.encode(), "big") % 10000
    data.Rows, data.Columns, data.NumberOfFrames = rows, columns, len(frames)
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = shape
    data.ImagedVolumeHeight, data.ImagedVolumeWidth = (n * s for n, s in zip(shape, spacing, strict=True))
    data.ImagedVolumeDepth = 0.005
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, photometric, 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
    data.LossyImageCompressionRatio = 10
    data.SpecimenLabelInImage = "NO" if kind == "VOLUME" else "YES"
    data.BurnedInAnnotation = data.SpecimenLabelInImage
    measures = _item(PixelSpacing=list(spacing), SliceThickness=0.005)
    data.SharedFunctionalGroupsSequence = Items(
        [
            _item(
                PixelMeasuresSequence=Items([measures]),
                WholeSlideMicroscopyImageFrameTypeSequence=Items([_item(FrameType=list(data.ImageType))]),
                OpticalPathIdentificationSequence=Items([_item(OpticalPathIdentifier="0")]),
            )
        ]
    )
    data.PixelData = encapsulate(list(frames))
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def of_one_slide() -> Dataset:
    """Return what all instances of one slide have in common."""
    dimension = generate_uid()
    code = {"CodingSchemeDesignator": "DCM"}
    path = _item(
        OpticalPathIdentifier="0",
        IlluminationTypeCodeSequence=Items(
            [_item(CodeValue="111744", CodeMeaning="Brightfield illumination", **code)]
        ),
        IlluminationColorCodeSequence=Items(
            [_item(CodeValue="414298005", CodingSchemeDesignator="SCT", CodeMeaning="Full Spectrum")]
        ),
        ICCProfile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        ObjectiveLensPower=20,
    )
    specimen = _item(
        SpecimenIdentifier="s", SpecimenUID=generate_uid(), SpecimenPreparationSequence=Items([])
    )
    specimen.IssuerOfTheSpecimenIdentifierSequence = Items([])
    origin = _item(XOffsetInSlideCoordinateSystem=20, YOffsetInSlideCoordinateSystem=40)
    return _item(
        PatientName="^", PatientID="p", PatientBirthDate="", PatientSex="",
        StudyInstanceUID=generate_uid(), StudyDate="20200101", StudyTime="000000", StudyID="1",
        AccessionNumber="", ReferringPhysicianName="",
        Modality="SM", SeriesInstanceUID=generate_uid(), SeriesNumber=1,
        FrameOfReferenceUID=generate_uid(), PositionReferenceIndicator="SLIDE_CORNER",
        Manufacturer="Leica", ManufacturerModelName="Test", DeviceSerialNumber="1", SoftwareVersions="1",
        ContentDate="20200101", ContentTime="000000", AcquisitionDateTime="20200101000000",
        AcquisitionContextSequence=Items([]),
        ContainerIdentifier="c", IssuerOfTheContainerIdentifierSequence=Items([]),
        ContainerTypeCodeSequence=Items(
            [_item(CodeValue="433466003", CodingSchemeDesignator="SCT", CodeMeaning="Microscope slide")]
        ),
        SpecimenDescriptionSequence=Items([specimen]),
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0], TotalPixelMatrixOriginSequence=Items([origin]),
        TotalPixelMatrixFocalPlanes=1, NumberOfOpticalPaths=1, OpticalPathSequence=Items([path]),
        DimensionOrganizationType="TILED_FULL",
        DimensionOrganizationSequence=Items([_item(DimensionOrganizationUID=dimension)]),
        VolumetricProperties="VOLUME", FocusMethod="AUTO", ExtendedDepthOfField="NO",
    )  # fmt: skip


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def cut(image: np.ndarray, tile: int) -> list[np.ndarray]:
    """Return the tiles of an image, row by row, the last ones padded."""
    padded = np.pad(image, [(0, -image.shape[0] % tile), (0, -image.shape[1] % tile), (0, 0)], mode="edge")
    return [
        padded[y : y + tile, x : x + tile]
        for y in range(0, padded.shape[0], tile)
        for x in range(0, padded.shape[1], tile)
    ]


def jpeg(image: np.ndarray) -> bytes:
    """Return an image as JPEG, 4:2:2 as DICOM's YBR_FULL_422 is."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90, subsampling="4:2:2")
    return out.getvalue()
