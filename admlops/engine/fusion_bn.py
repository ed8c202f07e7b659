"""Which BN layers a training step absorbs: the reading of ``fusion_bn_patterns``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from admlops.errors import ConfigError, nearest


def match_fusion_bn(model: nn.Module, patterns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Find the BN layers that each step absorbs.

    Args:
        model: The network.
        patterns: ``fusion_bn_patterns`` of a config: by step, shell patterns over module names.

    Returns:
        Names of BN layers by step.

    A pattern for a part that the network could have and has not (``neck.*`` of one without neck) matches nothing.

    Raises:
        ConfigError: Another pattern matches no BN layer, or two steps absorb the same one.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    absorbed: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for step, globs in patterns.items():
        absorbed[step] = []
        for glob in globs:
            matched = [name for name in names if fnmatchcase(name, glob)]
            if not matched and getattr(model, glob.split(".", 1)[0], model) is not None:
                prefixes = {f"{name.split('.', 1)[0]}.*" for name in names}
                raise ConfigError(
                    f"the pattern {glob!r} matches no BN layer of the network",
                    where=f"fusion_bn_patterns[{step!r}]",
                    remedy=nearest(glob, prefixes),
                )
            for name in matched:
                if name in taken and taken[name] != step:
                    raise ConfigError(
                        f"the BN layer {name!r} is absorbed twice",
                        where=f"fusion_bn_patterns[{step!r}]",
                        got=f"also in {taken[name]!r}",
                    )
                if name not in taken:
                    absorbed[step].append(name)
                taken[name] = step
    return absorbed
