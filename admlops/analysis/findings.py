"""Warnings: where the data falls short of what the tasks need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from admlops.analysis.analysis_run import Analysis
from admlops.analysis.class_states import SET_ONLY, UNKNOWN
from admlops.analysis.counts import SourceCounts, is_mask_task
from admlops.analysis.tables import input_size, split_totals
from admlops.task_spec import TaskKind, TaskSpec


@dataclass(frozen=True)
class Need:
    """What is asked of the data.

    Attributes:
        min_instances: Boxes or polylines of a class in a split.
        min_images: Images with a class in a split.
        max_tiny_share: Share of a class's boxes that may be tiny, see ``ScanOptions``.
        max_source_share: Share of a task's effective labelled records that one of several sources may hold.
        crop_hw: Of the training crop, h x w in px of the network's input; None for no crop.
    """

    min_instances: int = 50
    min_images: int = 20
    max_tiny_share: float = 0.5
    max_source_share: float = 0.8
    crop_hw: tuple[int, int] | None = (512, 960)


@dataclass(frozen=True)
class DataWarning:
    """One shortfall.

    Attributes:
        code: Stable identifier, ``A101`` to ``A403``.
        where: Split, task, class or source.
        what: The shortfall, with its numbers.
        remedy: What to do.
    """

    code: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.where}: {self.what}; {self.remedy}"


def find_warnings(analysis: Analysis, need: Need) -> tuple[DataWarning, ...]:
    """Hold the data against the need.

    Args:
        analysis: The counts.
        need: What is asked.

    Returns:
        The warnings, by code.
    """
    found = [
        *_class_warnings(analysis, need),
        *_task_warnings(analysis, need),
        *_size_warnings(analysis, need),
        *_leaks(analysis),
    ]
    return tuple(sorted(found, key=lambda warning: warning.code))


def _class_warnings(analysis: Analysis, need: Need) -> Iterator[DataWarning]:
    totals = split_totals(analysis)
    for task, name, position in analysis.classes():
        number = analysis.layout.tasks.index(task)
        shown = {split for split, total in totals.items() if total.images[position]}
        for split, total in totals.items():
            if not total.task_labelled[number]:
                continue  # the whole task is missing: one warning says it
            where = f"{split}, {task.name}.{name}"
            if not total.states[position, :UNKNOWN].any():
                what = f"unknown in all {total.records:,} records"
                yield DataWarning("A101", where, what, "label it somewhere, or take the class out of the task")
            elif not total.states[position, :SET_ONLY].any():
                what = f"occurs only in category sets, in {int(total.states[position, SET_ONLY]):,} records"
                yield DataWarning("A107", where, what, "label it as itself somewhere: nothing tells it from the others")
            elif total.images[position]:
                yield from _few(task, total, number, position, where, need)
                yield from _single_source(analysis, split, task, position, where)
            elif total.masks[number] != total.masks_read[number]:
                pass  # nobody looked into all masks
            elif total.ignored[position]:
                what = f"all of its {int(total.ignored[position]):,} boxes are ignored"
                yield DataWarning(
                    "A103", where, what, "check the rule that ignores them, or add data in which it is near enough"
                )
            elif shown - {split}:
                what = f"no instance, although {', '.join(sorted(shown - {split}))} has some"
                yield DataWarning(
                    "A104", where, what, "move whole scenes with it here: without, nothing is learned or measured"
                )
            else:
                yield DataWarning("A102", where, "no instance in any split", "add data that shows it")


def _few(task: TaskSpec, total: SourceCounts, number: int, position: int, where: str, need: Need) -> Iterator[DataWarning]:
    remedy = "add data that shows it, or repeat its source: duplicate"
    images, instances = int(total.images[position]), int(total.instances[position])
    sampled = is_mask_task(task) and total.masks_read[number] < total.masks[number]
    # Of masks a sample may have been read: then the images are scaled up.
    expected = images * total.masks[number] / max(total.masks_read[number], 1) if sampled else images
    basis = f" in {total.masks_read[number]:,} of {total.masks[number]:,} masks" if sampled else ""
    if total.task_labelled[number] < need.min_images:
        return  # one warning for the task says it
    if expected < need.min_images:
        yield DataWarning("A105", where, f"only {images:,} images show it{basis}, fewer than {need.min_images:,}", remedy)
    elif task.kind is TaskKind.DETECTION and instances < need.min_instances:
        yield DataWarning("A105", where, f"only {instances:,} boxes, fewer than {need.min_instances:,}", remedy)


def _single_source(analysis: Analysis, split: str, task: TaskSpec, position: int, where: str) -> Iterator[DataWarning]:
    number = analysis.layout.tasks.index(task)
    parts = [(source, counts) for source, counts in analysis.of_split(split) if counts.task_labelled[number]]
    trusted = [source.name for source, counts in parts if counts.states[position, :SET_ONLY].any()]
    if len(trusted) == 1 and len(parts) > 1:
        what = f"labelled in one source only, {trusted[0]}, of {len(parts)} that label the task"
        yield DataWarning(
            "A106", where, what, "the network may learn the source instead of the class; label it in another one too"
        )


def _task_warnings(analysis: Analysis, need: Need) -> Iterator[DataWarning]:
    totals = split_totals(analysis)
    if not analysis.tasks:
        known = ", ".join(task.name for task in analysis.layout.tasks)
        yield DataWarning("A205", ", ".join(totals), "no record is labelled for any task", f"label some of {known}")
    for task in analysis.tasks:
        number = analysis.layout.tasks.index(task)
        for split, total in totals.items():
            where = f"{split}, {task.name}"
            labelled = int(total.task_labelled[number])
            if not labelled:
                what = f"no record of {total.records:,} is labelled for the task"
                yield DataWarning(
                    "A201", where, what, "add a source that labels it, tag one with it, or do not ask for it: --tasks"
                )
                continue
            if labelled < need.min_images:
                what = f"only {labelled:,} records are labelled for the task, fewer than {need.min_images:,}"
                yield DataWarning("A204", where, what, "add labelled records: figures of so few mean little")
            unread = total.masks_read[number] < total.masks[number]
            if task.kind is not TaskKind.SEMANTIC and not total.task_empty[number] and not unread:
                what = f"all {labelled:,} labelled records show something of it, there is no negative"
                yield DataWarning("A202", where, what, "add labelled records without any: an empty list is a true negative")
            effective = {
                source.name: int(counts.task_labelled[number]) * source.duplicate for source, counts in analysis.of_split(split)
            }
            name, largest = max(effective.items(), key=lambda item: item[1])
            share = largest / sum(effective.values())
            if share > need.max_source_share and sum(count > 0 for count in effective.values()) > 1:
                what = f"{name} gives {share:.0%} of the effective labelled records"
                yield DataWarning("A203", where, what, "balance with duplicate, or with batches that draw sources equally")


def _size_warnings(analysis: Analysis, need: Need) -> Iterator[DataWarning]:
    side = analysis.options.min_side_px
    for split, total in split_totals(analysis).items():
        for task, name, position in analysis.classes():
            boxes, tiny = int(total.instances[position]), int(total.tiny[position])
            if task.kind is TaskKind.DETECTION and boxes and tiny / boxes > need.max_tiny_share:
                what = f"{tiny / boxes:.0%} of {boxes:,} boxes have a side below {side:g} px in the network's input"
                yield DataWarning(
                    "A301", f"{split}, {task.name}.{name}", what, "use the crop network, or ignore what is so small"
                )
        if need.crop_hw is None:
            continue
        crop_h, crop_w = need.crop_hw
        small = 0
        for hw, records in total.image_sizes.items():
            h, w = input_size(hw, analysis.options.resize_hw)
            small += records if h < crop_h or w < crop_w else 0
        if small:
            what = f"{small:,} of {total.records:,} images are smaller than the crop of {crop_h}x{crop_w} after the resize"
            yield DataWarning("A302", split, what, "they are padded: batches learn less from them than their count says")


def _leaks(analysis: Analysis) -> Iterator[DataWarning]:
    names = analysis.splits.names
    remedy = "split by scene, and take these out of one of the two"
    for overlap in analysis.overlaps:
        a, b = overlap.splits
        if a == b:
            continue
        where = f"{names[a]} and {names[b]}"
        if overlap.equal_files:
            what = f"pictures of {names[b]} that are files of {names[a]}: {overlap.equal_files:,}"
            yield DataWarning("A401", where, what, remedy)
        if overlap.near_duplicates:
            what = f"pictures of {names[b]} that are near duplicates of pictures of {names[a]}: {overlap.near_duplicates:,}"
            yield DataWarning("A402", where, what, remedy)
        if overlap.scenes:
            what = f"scenes in both: {overlap.scenes:,}, with {overlap.scene_records:,} of {names[b]}'s records"
            yield DataWarning("A403", where, what, remedy)
