"""Who learns: training, the ONNX export, the finished model in use.

May import labeling, teachers, data and core.
"""
