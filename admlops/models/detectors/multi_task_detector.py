"""One trunk, one neck, several branches; partial labels, frozen parts and many processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn

from admlops.errors import ModelError, nearest
from admlops.models.data_preprocessors import MultiTaskDataPreprocessor
from admlops.models.detectors.branch import Branch
from admlops.models.detectors.original_frame import to_original
from admlops.models.heads import HeadTargets
from admlops.models.loss_balance import FixedBalance, LossBalance
from admlops.registry import MODELS
from admlops.structures import MultiTaskDataSample, OutputSpec
from admlops.structures.multi_task_data_sample import TaskElements

Feats = tuple[Tensor, ...]
Parameters = dict[str, nn.Parameter]


@MODELS.register_module()
class MultiTaskDetector(BaseModel):
    """A network of several tasks, one trunk forward a batch.

    A branch that no rank labels is not run: its gradients stay None, because a zero gradient would still move parameters
    under AdamW. Wrapped in DDP it therefore needs ``find_unused_parameters=True``. All counts that losses are divided by are
    summed over the ranks in one small collective, so the mean gradient of the ranks is that of the global batch.

    Attributes:
        backbone: The trunk.
        neck: The neck, or None.
        branches: ``Branch`` by name.
        loss_balance: How hard each branch pulls on what all share.
        frozen: Names of the frozen parts.
        float_parts: Names of the parts that stay in floats where the rest becomes integers: those of ``quantized_input``.

    Args:
        backbone: Config of the trunk.
        branches: Config of a ``Branch`` by name; names are those of the tasks unless ``task`` says otherwise.
        neck: Config of the neck; None where the branches read the trunk's levels.
        data_preprocessor: Config; ``MultiTaskDataPreprocessor`` by default.
        frozen: Parts that do not learn, such as ``("backbone", "neck", "branches.det_person")``: no gradients, and eval mode
            whatever the rest is in, so that their running statistics stay too.
        loss_balance: Config of a ``LossBalance``; by default the branches' fixed ``loss_weight``.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: No branches, two of the same task, or an unknown frozen part.
    """

    float_parts: tuple[str, ...] = ()

    def __init__(
        self,
        backbone: Mapping[str, Any],
        branches: Mapping[str, Mapping[str, Any]],
        neck: Mapping[str, Any] | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
        frozen: Sequence[str] = (),
        loss_balance: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            # mmengine would look its type up in the root registry.
            data_preprocessor = MODELS.build(data_preprocessor or {"type": MultiTaskDataPreprocessor})
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        if not branches:
            raise ModelError("A network needs at least one branch", where="model.branches")
        # mmengine's ModuleDict: torch's would hide the branches from init_weights.
        self.branches = ModuleDict({name: Branch(name, **branch) for name, branch in branches.items()})
        tasks = [branch.task.name for branch in self.branches.values()]
        if len(set(tasks)) != len(tasks):
            raise ModelError("Two branches of one network have the same task", where="model.branches", got=", ".join(tasks))
        weights = {name: branch.loss_weight for name, branch in self.branches.items()}
        self.loss_balance: LossBalance = MODELS.build({**(loss_balance or {"type": FixedBalance}), "weights": weights})
        self.freeze(frozen)

    def freeze(self, parts: Sequence[str]) -> None:
        """Take parts out of the learning for good: no gradients, and eval mode.

        Args:
            parts: Names as ``frozen`` takes them; a subclass calls this again once it has parts of its own.

        Raises:
            ModelError: There is no such part.
        """
        self.frozen = tuple(parts)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    @property
    def shared_parts(self) -> tuple[str, ...]:
        """Names of what all branches use, in the order in which inputs pass."""
        own = {"data_preprocessor", "branches", "loss_balance", "backbone", "neck"}
        before = [name for name, _ in self.named_children() if name not in own]
        return (*before, "backbone", *(() if self.neck is None else ("neck",)))

    def _frozen_parts(self) -> list[nn.Module]:
        parts = {*self.shared_parts, *(f"branches.{name}" for name in self.branches)}
        for name in self.frozen:
            if name not in parts:
                raise ModelError(f"There is no part {name!r} to freeze", where="model.frozen", remedy=nearest(name, parts))
        balances = [state for name, state in self.loss_balance.items() if f"branches.{name}" in self.frozen]
        return [self.get_submodule(name) for name in self.frozen] + balances

    def train(self, mode: bool = True) -> MultiTaskDetector:
        """Set the mode; frozen parts stay in eval mode.

        Args:
            mode: Whether the rest trains.

        Returns:
            Itself.
        """
        super().train(mode)
        if hasattr(self, "frozen"):
            for part in self._frozen_parts():
                part.eval()
        return self

    def forward(
        self, inputs: Any, data_samples: Sequence[MultiTaskDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[MultiTaskDataSample]:
        """Run the network.

        Args:
            inputs: What the data preprocessor gives: (B, 3, H, W) float32, ``(pixel - 128) / 128``, BGR.
            data_samples: B samples; needed by the modes ``loss`` and ``predict``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            ``tensor``: raw outputs by name, as in ``output_specs``. ``loss``: losses by ``<branch>.loss_<x>``, of the branches
            that some rank labels. ``predict``: the samples, with ``pred`` in pixels of the original.

        Raises:
            ModelError: Unknown mode, or no samples where they are needed.
        """
        inputs = self.quantized_input(inputs)
        if mode == "tensor":
            return self.raw_outputs(inputs)
        if mode not in {"loss", "predict"}:
            raise ModelError(f"Unknown mode {mode!r}", expected="tensor, loss or predict")
        if data_samples is None or len(data_samples) != len(inputs):
            raise ModelError(
                f"Mode {mode!r} needs a data sample for each of the batch",
                expected=len(inputs),
                got=data_samples if data_samples is None else len(data_samples),
            )
        return self.loss(inputs, data_samples) if mode == "loss" else self.predict(inputs, data_samples)

    def extract_feat(self, inputs: Tensor) -> Feats:
        """Run trunk and neck.

        Args:
            inputs: (B, 3, H, W).

        Returns:
            The levels that branches read, the finest first.
        """
        feats = self.backbone(inputs)
        return tuple(feats if self.neck is None else self.neck(feats))

    def quantized_input(self, inputs: Any) -> Tensor:
        """Compute what integers begin with; a network that makes it of something else does that here.

        Args:
            inputs: What the data preprocessor gives.

        Returns:
            What the network may be called with instead: the pictures themselves, (B, 3, H, W); of others a map of features.
        """
        pictures: Tensor = inputs
        return pictures

    def input_hw(self, inputs: Tensor) -> tuple[int, int]:
        """Tell the size of the network's input, in the pixels of its labels.

        Args:
            inputs: Of ``quantized_input``.

        Returns:
            Height and width, px.
        """
        return int(inputs.shape[-2]), int(inputs.shape[-1])

    def empty_input(self, input_hw: tuple[int, int]) -> Tensor:
        """Make an input that shows nothing, to count or to trace with.

        Args:
            input_hw: Height and width, px.

        Returns:
            What ``quantized_input`` gives for one sample, on the network's device.
        """
        return torch.zeros(1, 3, *input_hw, device=next(self.parameters()).device)

    def raw_outputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """Run everything that is quantized and exported.

        Args:
            inputs: (B, 3, H, W).

        Returns:
            Raw outputs by ``TensorSpec`` name; ``<task>.<i>`` for heads of mmdet and mmseg.
        """
        feats = self.extract_feat(inputs)
        outputs: dict[str, Tensor] = {}
        for branch in self.branches.values():
            raw = branch.head(branch.select(feats))
            try:
                names = [tensor.name for tensor in branch.head.output_spec().tensors]
            except ModelError:
                names = [f"{branch.task.name}.{index}" for index in range(len(raw))]
            outputs.update(zip(names, raw, strict=True))
        return outputs

    def output_specs(self) -> dict[str, OutputSpec]:
        """Describe the raw outputs of all branches.

        Returns:
            Output spec by branch.

        Raises:
            ModelError: A branch has a head of mmdet or mmseg.
        """
        return {name: branch.head.output_spec() for name, branch in self.branches.items()}

    def loss(self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]) -> dict[str, Tensor]:
        """Compute the losses of the branches that some rank labels.

        Args:
            inputs: (B, 3, H, W).
            data_samples: B samples with ``gt``.

        Returns:
            Losses by ``<branch>.loss_<x>``; ``loss_zero``, which moves nothing, where no rank labels anything that learns.
        """
        input_hw = self.input_hw(inputs)
        targets = {name: branch.head.make_targets(data_samples, input_hw) for name, branch in self.branches.items()}
        labelled = {name: branch.labelled(data_samples) for name, branch in self.branches.items()}
        normalizers = self._share_counts(targets, labelled)
        if not normalizers:
            return {"loss_zero": torch.zeros((), device=inputs.device, requires_grad=True)}
        masks = {name: labelled[name][:, 0] > 0 for name in normalizers}
        losses: dict[str, Tensor] = {}
        for name, feats in self.loss_balance.share(self.extract_feat(inputs), masks).items():
            branch = self.branches[name]
            own = branch.head.loss(branch.select(feats), targets[name], normalizers[name])
            losses |= {f"{name}.{key}": value for key, value in self.loss_balance.weigh(name, own).items()}
        if not any(value.requires_grad for value in losses.values()):
            # Only frozen branches are labelled, on every rank alike: there is nothing to learn, but backward must run.
            losses["loss_zero"] = torch.zeros((), device=inputs.device, requires_grad=True)
        return losses

    def _share_counts(self, targets: Mapping[str, HeadTargets], labelled: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sum what is labelled over the ranks, remember it, and keep the branches that are.

        Args:
            targets: Targets by branch.
            labelled: What the batch labels, by branch.

        Returns:
            Normalizers of the branches that some rank labels, in the order of the branches.
        """
        own = [torch.cat([labelled[name].sum(dim=0), targets[name].normalizers]) for name in targets]
        counts = torch.cat(own)
        world_size = dist.get_world_size()
        if world_size > 1:
            dist.all_reduce(counts)
        parts = torch.split(counts, [len(part) for part in own])
        # One question to the device, not one a branch.
        num_labelled = torch.stack([part[0] for part in parts]).tolist()
        normalizers = {}
        for (name, branch), part, number in zip(self.branches.items(), parts, num_labelled, strict=True):
            num_channels = len(branch.seen)
            # A frozen branch predicts as before, whatever the data of others label by now.
            if branch.training:
                branch.seen |= part[1 : 1 + num_channels] > 0
            if number:
                normalizers[name] = part[1 + num_channels :].clamp(min=1) / world_size
        return normalizers

    def predict(self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]) -> list[MultiTaskDataSample]:
        """Predict in pixels of the originals.

        Args:
            inputs: (B, 3, H, W).
            data_samples: B samples with ``ori_shape``, ``img_shape`` and ``input_from_original``.

        Returns:
            The same samples, with ``pred`` by task, on the CPU.
        """
        return self.interpret(self.raw_outputs(inputs), data_samples, self.input_hw(inputs))

    def interpret(
        self, raw: Mapping[str, Tensor], data_samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]
    ) -> list[MultiTaskDataSample]:
        """Make predictions of raw outputs, whoever computed them: this network, or its integers.

        Args:
            raw: What ``raw_outputs`` returns.
            data_samples: B samples with ``ori_shape``, ``img_shape`` and ``input_from_original``.
            input_hw: Height and width of the network's input, px.

        Returns:
            The same samples, with ``pred`` by task, on the CPU.
        """
        metas = [sample.metainfo for sample in data_samples]
        preds = [TaskElements() for _ in data_samples]
        for branch in self.branches.values():
            own = [tensor for name, tensor in raw.items() if name.rpartition(".")[0] == branch.task.name]
            found = branch.head.interpret(own, metas, input_hw, branch.allowed_classes)
            for pred, meta, element in zip(preds, metas, found, strict=True):
                pred.set_data({branch.task.name: to_original(element.cpu(), meta, input_hw)})
        for sample, pred in zip(data_samples, preds, strict=True):
            sample.pred = pred
        return list(data_samples)

    def get_unshared_and_shared_params(self) -> tuple[dict[str, Parameters], Parameters]:
        """Split the parameters into those of one branch and those of all.

        Returns:
            Parameters by branch and full name; parameters of all else by full name. Equal names are what single-task
            and multi-task networks share.
        """
        unshared: dict[str, Parameters] = {name: {} for name in self.branches}
        shared: Parameters = {}
        for name, parameter in self.named_parameters():
            parts = name.split(".")
            (unshared[parts[1]] if parts[0] in {"branches", "loss_balance"} else shared)[name] = parameter
        return unshared, shared
