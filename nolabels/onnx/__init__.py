"""Sequence classifiers as ONNX graphs that a processor runs fast: the student that ships, and a teacher in int8.

Imports no other package of the project.

    graph           from a model of transformers to a graph: a file, or open in memory
    bert_encoder    the families that are read with fewer operations, and where one is added
    int8            linear layers and embeddings of 8-bit integers
    operators       onnxruntime's own operations
    padding         attention without a mask where nothing is padded
"""
