"""Heatmaps: which pixels speak for a label. The same code where a frame is explained and where a model is scored.

`gradients` and `network` import TensorFlow; the rest is numbers. Inference, camera and dashboard import none of it.
"""
