"""ADMLOps: MLOps for autonomous-driving perception, an OpenMMLab extension.

Layers, from the top (imports go downwards only, checked by import-linter):
``engine`` > ``datasets | models | evaluation | visualization`` > ``layers | structures`` > ``registry`` >
``conversion | synthetic`` > ``data_release`` > ``task_spec`` > ``errors``.
"""

__version__ = "2.0.0"
