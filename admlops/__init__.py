"""ADMLOps: MLOps for autonomous-driving perception, an OpenMMLab extension.

Layers, from the top (imports go downwards only, checked by import-linter):
``engine`` > ``datasets | models | evaluation | visualization`` > ``layers | structures`` > ``registry`` >
``conversion | synthetic`` > ``data_release`` > ``task_spec | project`` > ``errors | figures | threads``.
"""

import os

from admlops.threads import set_thread_defaults

# Here, because every entry point imports this package, and has to do so before PyTorch.
set_thread_defaults(os.environ)

__version__ = "2.0.0"
