"""A small network with a vehicle head, its contract, and files of it."""

from random_networks import RandomNetwork, random_pixels, to_planes

from admlops.deploy.contract import make_contract
from admlops.deploy.input_geometry import Geometry
from admlops.models.heads import CenterLtrbHead
from admlops.task_spec import CAMERA_TASKS

TASK = CAMERA_TASKS["det_rear"]
HEIGHT, WIDTH = 32, 64
GEOMETRY = Geometry((HEIGHT, WIDTH), (HEIGHT, WIDTH), 0)


def small_network(**options):
    net = RandomNetwork(to_planes(random_pixels(HEIGHT, WIDTH)), **options)
    feat = net.block("block", net.conv("second", net.conv("first", "input", 8, 3, 2), 8, 3, 2))
    net.conv("heat", feat, len(TASK.classes), relu=False, raw=True)
    net.conv("ltrb", feat, 4, relu=False, raw=True)
    return net.graph(**{"det_rear.heatmap": "heat", "det_rear.ltrb": "ltrb"})


def contract_of(graph, decoded=False):
    specs = {"det_rear": CenterLtrbHead(TASK).output_spec()}
    return make_contract(specs, {"det_rear": [True] * len(TASK.classes)}, GEOMETRY, graph, decoded=decoded)
