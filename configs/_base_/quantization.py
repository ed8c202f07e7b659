"""From a float network to integers: what is quantized to what, and the steps that follow the float training.

A step with ``observers`` trains with simulated integers, one with ``conversion`` trains nothing. Steps start from the last
checkpoint of the step before; ``tools/train.py CONFIG --step N`` runs one, ``tools/quanti_training_2step_fusion_bn.sh`` all.
"""

from mmengine.config import read_base

with read_base():
    from .schedules import one_cycle

# Integers of the target, for all steps: 7 bits for x86 without VNNI, relu_range "s8" for TensorRT.
quantization = dict(weight_bits=8, relu_range="u8", power_of_two=True, rounding="half_even", momentum=0.05)

# Points that integers may lose against floats, on the mean of the branches and on any of them; tools/parity.py asks.
parity = dict(mean_drop=0.3, branch_drop=1.0)

# Which BN layers a step absorbs, by the names of their modules.
fusion_bn_patterns = {
    "fusion-bn-c1": ["backbone.*", "neck.*"],
    "fusion-bn-c2": ["branches.*"],
}


def quantized_steps(max_iters, val_interval, lr=2e-4, calibration_batches=16, observe_until=0.8):
    """Return the steps behind the float one: trunk absorbed, branches absorbed, integers.

    Ranges of activations come from ``calibration_batches`` before the first iteration of a network that has none, move with
    each batch, and stand still for the last part of a training, from ``observe_until`` of its iterations on.
    """
    observers = dict(calibration_batches=calibration_batches, observe_until=observe_until)
    return [
        dict(name="fusion-bn-c1", observers=dict(observers), **one_cycle(max_iters, val_interval, lr)),
        dict(name="fusion-bn-c2", observers=dict(observers), **one_cycle(max_iters, val_interval, lr)),
        dict(name="int-inference", conversion=dict(check_images=2)),
    ]


# A config that says nothing else: its own schedule, then these.
solver = [dict(name="with-bn"), *quantized_steps(max_iters=5000, val_interval=2500)]
