"""Source data sets in their original formats -> releases: one file a format.

May import ``data_release``, ``task_spec`` and ``errors``; no torch, no mm* package.
"""

from admlops.conversion.apolloscape import ApolloScapeConverter
from admlops.conversion.argoverse2 import Argoverse2Converter
from admlops.conversion.bdd100k import Bdd100kConverter
from admlops.conversion.camvid import CamVidConverter
from admlops.conversion.cityscapes import CityscapesConverter
from admlops.conversion.coco import CocoConverter
from admlops.conversion.combine_releases import combine_releases, format_combined
from admlops.conversion.convert_source import convert_source
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.culane import CULaneConverter
from admlops.conversion.kitti import KittiConverter
from admlops.conversion.kitti_tracking import KittiTrackingConverter
from admlops.conversion.nuscenes import NuScenesConverter
from admlops.conversion.openlane import OpenLaneConverter
from admlops.conversion.pennfudan import PennFudanConverter
from admlops.conversion.report import format_report
from admlops.conversion.semantic_kitti import SemanticKittiConverter
from admlops.conversion.tusimple import TuSimpleConverter
from admlops.conversion.voc import VocConverter

CONVERTERS: dict[str, type[Converter]] = {
    converter.name: converter
    for converter in (
        ApolloScapeConverter,
        Argoverse2Converter,
        Bdd100kConverter,
        CamVidConverter,
        CityscapesConverter,
        CULaneConverter,
        CocoConverter,
        KittiConverter,
        KittiTrackingConverter,
        NuScenesConverter,
        OpenLaneConverter,
        PennFudanConverter,
        SemanticKittiConverter,
        TuSimpleConverter,
        VocConverter,
    )
}
"""The converter of each source format, by the name that the command line knows."""

__all__ = [
    "CONVERTERS",
    "ApolloScapeConverter",
    "Argoverse2Converter",
    "Bdd100kConverter",
    "CULaneConverter",
    "CamVidConverter",
    "CityscapesConverter",
    "CocoConverter",
    "Converter",
    "FrameWriter",
    "KittiConverter",
    "KittiTrackingConverter",
    "NuScenesConverter",
    "OpenLaneConverter",
    "PennFudanConverter",
    "SemanticKittiConverter",
    "SourceFrame",
    "TuSimpleConverter",
    "VocConverter",
    "combine_releases",
    "convert_source",
    "format_combined",
    "format_report",
]
