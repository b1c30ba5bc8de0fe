"""Who learns: training, the finished model in use.

May import labeling, teachers, onnx, data and core.

training: fine-tuning, of any encoder that transformers loads; assistant; predict: what ships; profile: what drift compares
with; server; publishing.
"""
