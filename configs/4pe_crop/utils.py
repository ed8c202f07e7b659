"""What all configs of the crop network share: data release, sizes, network, devices, loading.

The resize network looks at near, large objects; this one at far, small ones, in the pixels of the original. Nothing is
resized, whatever the size of an image: a larger one is cut, a smaller one padded on the right and below. Validation sees the
whole image; a deployed model the window of ``ExportGeometry``, around the horizon.

Single-task files hold what is special to a task; ``multitask.py`` holds what is special to a training (its steps,
run-time). Variables that only build others, and helpers, are deleted at the end of each of them. What this network and
``4pe_resize`` have in common is built in ``_base_/camera_network.py``.
"""

from mmengine.config import read_base

from admlops.datasets.transforms import LoadImage, RandomCrop

with read_base():
    from .._base_.camera_network import *
    from .._base_.default_runtime import *
    from .._base_.quantization import fusion_bn_patterns, parity, quantization, solver
    from .._base_.schedules import one_cycle

# ---- what you change first -------------------------------------------------------------------------------------------
# A folder, dict(root=...), or a git repository at a tag, dict(repo='git/repository', ref='multi_task/v1.0.0').
data_release = dict(root="data/sample/train")
val_data_release = dict(root="data/sample/val")
# GPUs to use where there are any; `tools/train.py --ctx 0,1` overrides it. Without a GPU the CPU trains.
default_ctx = (0,)
batch_size = 16  # images a GPU

# ---- loading: larger values are faster and need more memory ------------------------------------------------------------
load_threads = 2  # worker processes a GPU
prefetch = 4  # batches that each of them holds ready
shuffle_window = None  # shuffle neighbouring lines of that many only, for slow disks; None shuffles the whole release

# ---- sizes, (height, width) in px --------------------------------------------------------------------------------------
crop_hw = (448, 1216)
# What a deployed network sees of a camera: arguments of ExportGeometry; and the runtime and the camera's image, (height, width)
# in px, for which the steps leave an `*-export-last.onnx` (None: none). `tools/deploy.py` exports for others.
export = dict(input_hw=crop_hw, pyramid_step=0, place_yx=(0.5, 0.5))
export_last = dict(target="onnxruntime", original_hw=(720, 1280))


def network(branches):
    """VarGNetV2 0.5x with group bases 8 and 4 (``vargnet_v2_g8g4_0_5x``), and these branches."""
    return camera_network(branches, upscale_group_base=4)


def train_loader(
    tasks,
    release=data_release,
    crop_hw=crop_hw,
    batch_size=batch_size,
    load_threads=load_threads,
    mix="natural",
    photometric=None,
    flip_prob=0.5,
):
    """Load training samples of these tasks: cropped out of the original, flipped, in other light."""
    image_steps = [dict(type=LoadImage), dict(type=RandomCrop, crop_hw=crop_hw)]
    return training_samples(
        tasks, release, image_steps, batch_size, load_threads, prefetch, shuffle_window, mix, photometric, flip_prob
    )


def eval_loader(tasks, release=val_data_release, geometry=(), load_threads=load_threads):
    """Load samples for validation: the whole image, or what ``geometry`` makes of it; labels stay in original pixels.

    What a deployed model sees: ``[dict(type=ExportGeometry, **export)]``.
    """
    return evaluation_samples(tasks, release, geometry, load_threads, prefetch)
