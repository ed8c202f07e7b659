"""Draw every task on one picture. Imports ``structures`` and below, never datasets or models."""

from admlops.visualization.draw_labels import draw_labels
from admlops.visualization.multi_task_visualizer import MultiTaskVisualizer, write_picture

__all__ = ["MultiTaskVisualizer", "draw_labels", "write_picture"]
