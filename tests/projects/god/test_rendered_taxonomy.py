"""The renderer repeats the network's point classes, because it may not import them; here they are compared."""

from admlops.synthetic.lidar.point_class import PointClass as RenderedClass
from god.taxonomy import PointClass


def test_the_renderer_writes_the_point_classes_of_the_network() -> None:
    assert {part.name: part.value for part in RenderedClass} == {part.name: part.value for part in PointClass}
