"""Which parameters a network's branches share, and what each part costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from admlops.models.complexity import count_complexity
from admlops.models.detectors import MultiTaskDetector


@dataclass(frozen=True)
class PartReport:
    """Size and cost of one part of a network.

    Attributes:
        name: ``backbone``, ``neck``, another part that all share, or ``branches.<name>``.
        is_shared: Whether all branches use it.
        num_parameters: Weights and biases.
        num_frozen: Those of them that do not learn.
        macs: Multiply-accumulates of one sample.
        parameter_names: Full names of its parameters.
    """

    name: str
    is_shared: bool
    num_parameters: int
    num_frozen: int
    macs: int
    parameter_names: tuple[str, ...]


def report_parts(model: MultiTaskDetector, input_hw: tuple[int, int]) -> list[PartReport]:
    """Count parameters and MACs of all parts; what comes before ``quantized_input`` costs no MACs here.

    Args:
        model: The network.
        input_hw: Height and width of the input that the MACs are counted for, px.

    Returns:
        What all branches share, trunk and neck last, then the branches in their order.
    """
    counts = count_complexity(model, model.empty_input(input_hw), {"mode": "tensor"})
    unshared, shared = model.get_unshared_and_shared_params()
    parts: dict[str, dict[str, torch.nn.Parameter]] = {name: {} for name in model.shared_parts}
    for name, parameter in shared.items():
        parts[name.split(".")[0]][name] = parameter
    parts |= {f"branches.{name}": parameters for name, parameters in unshared.items()}
    return [
        PartReport(
            name=name,
            is_shared=not name.startswith("branches."),
            num_parameters=sum(parameter.numel() for parameter in parameters.values()),
            num_frozen=sum(parameter.numel() for parameter in parameters.values() if not parameter.requires_grad),
            macs=counts[name].macs,
            parameter_names=tuple(parameters),
        )
        for name, parameters in parts.items()
    ]


def format_report(parts: list[PartReport], input_hw: tuple[int, int], names: bool = False) -> str:
    """Lay a report out for the screen.

    Args:
        parts: Of ``report_parts``.
        input_hw: Height and width that the MACs were counted for, px.
        names: Whether every parameter is listed.

    Returns:
        A table; ``of trunk`` is the part's share of the trunk's MACs.
    """
    trunk_macs = max(next(part.macs for part in parts if part.name == "backbone"), 1)
    width = max(len(part.name) for part in parts) + 2
    lines = [
        f"input {input_hw[0]} x {input_hw[1]}, one sample",
        f"{'part':<{width}}{'shared':<8}{'parameters':>12}{'frozen':>10}{'GMAC':>8}{'of trunk':>10}",
    ]
    for part in parts:
        lines.append(
            f"{part.name:<{width}}{'yes' if part.is_shared else 'no':<8}{part.num_parameters:>12,}{part.num_frozen:>10,}"
            f"{part.macs / 1e9:>8.3f}{part.macs / trunk_macs:>9.1%}"
        )
    for label, chosen in (("shared", True), ("unshared", False), ("total", None)):
        some = [part for part in parts if chosen is None or part.is_shared is chosen]
        parameters, frozen = sum(part.num_parameters for part in some), sum(part.num_frozen for part in some)
        macs = sum(part.macs for part in some)
        lines.append(f"{label:<{width}}{'':<8}{parameters:>12,}{frozen:>10,}{macs / 1e9:>8.3f}{macs / trunk_macs:>9.1%}")
    if names:
        for part in parts:
            lines.append(f"\n{part.name} ({'shared' if part.is_shared else 'unshared'})")
            lines += [f"  {name}" for name in part.parameter_names]
    return "\n".join(lines)
