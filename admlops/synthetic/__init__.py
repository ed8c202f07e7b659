"""Renderers behind the sample releases: road scenes with exact labels, drawn with numpy and OpenCV."""
