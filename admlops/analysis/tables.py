"""The numbers of an analysis as tables: what the JSON, CSV and HTML reports all hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from admlops.analysis.analysis_run import Analysis
from admlops.analysis.class_states import STATES
from admlops.analysis.counts import MEASURES, SourceCounts, is_mask_task, total_counts
from admlops.analysis.log_histogram import quantiles
from admlops.data_release import JsonlIndex
from admlops.task_spec import TaskKind

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Cell, ...]

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Key in the JSON report and name of the CSV file.
        title: For people.
        note: What the columns mean; empty where they speak for themselves.
        columns: Their names, with units.
        rows: One cell a column; None where nothing is known.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def build_tables(analysis: Analysis) -> tuple[Table, ...]:
    """Lay out everything that was counted.

    Args:
        analysis: The counts.

    Returns:
        The tables, in the order of a report.
    """
    return (*_label_tables(analysis), *_size_tables(analysis), *_relation_tables(analysis))


def input_size(original_hw: tuple[int, int], resize_hw: tuple[int, int]) -> tuple[int, int]:
    """Compute what ``min_max_pairs`` makes of an image.

    Args:
        original_hw: (height, width) in px.
        resize_hw: Of the config.

    Returns:
        (height, width) in px.
    """
    scale = min(resize_hw[0] / original_hw[0], resize_hw[1] / original_hw[1])
    return max(1, round(original_hw[0] * scale)), max(1, round(original_hw[1] * scale))


def split_totals(analysis: Analysis) -> dict[str, SourceCounts]:
    """Add up the sources of each split.

    Args:
        analysis: The counts.

    Returns:
        Totals by split, every record once.
    """
    return {
        name: total_counts(analysis.layout, [counts for _, counts in analysis.of_split(name)]) for name in analysis.splits.names
    }


def name_record(analysis: Analysis, number: int) -> str:
    """Name a record by its place among those of all splits.

    Args:
        analysis: The splits.
        number: From 0.

    Returns:
        ``source:sample_id``.
    """
    for source in analysis.splits.sources:
        if number < source.num_records:
            return f"{source.name}:{JsonlIndex(source.index_path)[number]['sample_id']}"
        number -= source.num_records
    raise IndexError(number)


def _label_tables(analysis: Analysis) -> Iterator[Table]:
    yield Table(
        "sources",
        "Sources",
        "effective = records x duplicate: what an epoch draws.",
        ("split", "source", "records", "duplicate", "effective", "tasks"),
        tuple(_sources(analysis)),
    )
    yield Table(
        "tasks",
        "Labels by task and source",
        "empty = labelled, and nothing of the task is there. untagged = a label is there, but the source is not released "
        "for the task. share = of the split's effective labelled records.",
        ("split", "task", "source", "labelled", "effective", "share", "empty", "untagged", "masks", "masks_read"),
        tuple(_tasks(analysis)),
    )
    yield Table(
        "availability",
        "Label availability by class and source, in records",
        "non_exhaustive = positives only; set_only = occurs in a category set of its record; unknown = no loss, no metric.",
        ("split", "task", "class", "source", *STATES),
        tuple(_availability(analysis)),
    )
    yield Table(
        "instances",
        "Instances by class and source",
        "instances = boxes that are not ignored, or polylines; images = records that show the class; negatives = records "
        "where it is labelled exhaustively and absent. Pixels and images of masks come from the masks that were read.",
        ("split", "task", "class", "source", "instances", "effective", "ignored", "images", "negatives", "pixels"),
        tuple(_instances(analysis)),
    )
    yield Table(
        "set_instances",
        "Category sets: nobody knows which of their classes",
        "Boxes, polylines or pixels that a set names.",
        ("split", "task", "set", "count"),
        tuple(_set_instances(analysis)),
    )


def _size_tables(analysis: Analysis) -> Iterator[Table]:
    side = f"{analysis.options.min_side_px:g}"
    yield Table(
        "box_sizes",
        "Box sizes",
        "Boxes that are not ignored. input = in the network's input after the resize; quantiles are at most 1.1 % off; "
        f"tiny = shorter side below {side} px of the input.",
        ("split", "task", "class", "boxes", "measure", *(f"p{round(100 * share):02d}" for share in SHARES), "tiny_share"),
        tuple(_box_sizes(analysis)),
    )
    yield Table(
        "image_sizes",
        "Image sizes",
        "input = what the resize makes of it (h x w).",
        ("split", "source", "height_px", "width_px", "records", "input_height_px", "input_width_px"),
        tuple(_image_sizes(analysis)),
    )


def _relation_tables(analysis: Analysis) -> Iterator[Table]:
    yield Table(
        "co_occurrence",
        "Classes that occur in one image",
        "share = of the images that show the class and tell whether the other is there, those that show both.",
        ("split", "class", "other", "images", "share"),
        tuple(_co_occurrence(analysis)),
    )
    yield Table(
        "overlaps",
        "What splits share",
        "Pictures of the second split that are a file of the first, or nearly a picture of the first; within one split, "
        "those that repeat. rejected = pairs whose hashes are near although the pictures differ.",
        ("first", "second", "equal_files", "near_duplicates", "rejected", "shared_scenes", "records_in_shared_scenes"),
        tuple(_overlaps(analysis)),
    )
    yield Table(
        "overlap_examples",
        "Examples of what splits share",
        "bits = distance of the 64-bit hashes; correlation of their detail, 1 for equal files.",
        ("first", "second", "kind", "first_sample", "second_sample", "bits", "correlation"),
        tuple(_overlap_examples(analysis)),
    )


def _each(analysis: Analysis) -> Iterator[tuple[str, str, int, SourceCounts]]:
    for source, counts in zip(analysis.splits.sources, analysis.counts, strict=True):
        yield source.split, source.name, source.duplicate, counts


def _sources(analysis: Analysis) -> Iterator[Row]:
    for source in analysis.splits.sources:
        tasks = ", ".join(task.name for task in analysis.tasks if task.name in source.tasks)
        yield source.split, source.name, source.num_records, source.duplicate, source.num_effective, tasks


def _tasks(analysis: Analysis) -> Iterator[Row]:
    for number, task in enumerate(analysis.layout.tasks):
        if task not in analysis.tasks:
            continue
        totals = dict.fromkeys(analysis.splits.names, 0)
        for split, _, duplicate, counts in _each(analysis):
            totals[split] += int(counts.task_labelled[number]) * duplicate
        for split, source, duplicate, counts in _each(analysis):
            labelled = int(counts.task_labelled[number])
            untagged = int(counts.untagged[number])
            if labelled or untagged:
                effective = labelled * duplicate
                share = _share(effective, totals[split])
                empty = int(counts.task_empty[number])
                masks = (int(counts.masks[number]), int(counts.masks_read[number])) if is_mask_task(task) else (None, None)
                yield split, task.name, source, labelled, effective, share, empty, untagged, *masks


def _availability(analysis: Analysis) -> Iterator[Row]:
    for task, name, position in analysis.classes():
        for split, source, _, counts in _each(analysis):
            yield split, task.name, name, source, *counts.states[position].tolist()


def _instances(analysis: Analysis) -> Iterator[Row]:
    for task, name, position in analysis.classes():
        for split, source, duplicate, counts in _each(analysis):
            if counts.states[position, :-1].any():
                instances = int(counts.instances[position]) if task.kind is not TaskKind.SEMANTIC else None
                effective = None if instances is None else instances * duplicate
                ignored = int(counts.ignored[position]) if task.kind is TaskKind.DETECTION else None
                is_unread = analysis.is_unread(counts, task)
                pixels = int(counts.pixels[position]) if is_mask_task(task) and not is_unread else None
                images = None if is_unread else int(counts.images[position])
                negatives = None if is_unread else int(counts.negatives[position])
                yield split, task.name, name, source, instances, effective, ignored, images, negatives, pixels


def _set_instances(analysis: Analysis) -> Iterator[Row]:
    for split, total in split_totals(analysis).items():
        for (task, name), count in sorted(total.set_instances.items()):
            yield split, task, name, count


def _box_sizes(analysis: Analysis) -> Iterator[Row]:
    for split, total in split_totals(analysis).items():
        for task, name, position in analysis.classes():
            boxes = int(total.instances[position])
            if task.kind is not TaskKind.DETECTION or not boxes:
                continue
            for number, measure in enumerate(MEASURES):
                values = [_rounded(value) for value in quantiles(total.box_sizes[position, number], SHARES)]
                tiny = _share(int(total.tiny[position]), boxes) if measure == "input_short_side_px" else None
                yield split, task.name, name, boxes, measure, *values, tiny


def _image_sizes(analysis: Analysis) -> Iterator[Row]:
    for split, source, _, counts in _each(analysis):
        for (h, w), records in sorted(counts.image_sizes.items()):
            yield split, source, h, w, records, *input_size((h, w), analysis.options.resize_hw)


def _co_occurrence(analysis: Analysis) -> Iterator[Row]:
    classes = list(analysis.classes())
    for split, total in split_totals(analysis).items():
        for task, name, i in classes:
            for other_task, other, j in classes:
                if i != j and total.together[i, j]:
                    images = int(total.together[i, j])
                    share = _share(images, int(total.compared[i, j]))
                    yield split, f"{task.name}.{name}", f"{other_task.name}.{other}", images, share


def _overlaps(analysis: Analysis) -> Iterator[Row]:
    names = analysis.splits.names
    has_pictures = analysis.options.read_images
    for overlap in analysis.overlaps:
        a, b = overlap.splits
        pictures = (overlap.equal_files, overlap.near_duplicates, overlap.rejected) if has_pictures else (None, None, None)
        scenes = (overlap.scenes, overlap.scene_records) if a != b else (None, None)
        yield names[a], names[b], *pictures, *scenes


def _overlap_examples(analysis: Analysis) -> Iterator[Row]:
    names = analysis.splits.names
    for overlap in analysis.overlaps:
        first, second = (names[number] for number in overlap.splits)
        for pair in overlap.examples:
            kind = "equal file" if pair.is_equal_file else "near duplicate"
            places = (name_record(analysis, pair.first), name_record(analysis, pair.second))
            yield first, second, kind, *places, pair.bits, round(pair.correlation, 3)
        for left, right in overlap.shared_scenes:
            yield first, second, "same scene", name_record(analysis, left), name_record(analysis, right), None, None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(np.format_float_positional(value, precision=3, fractional=False))
