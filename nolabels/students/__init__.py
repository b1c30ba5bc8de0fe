"""Who learns: training, the ONNX export, the finished model in use.

May import labeling, teachers, data and core.

training: fine-tuning; assistant; onnx_graph, bert_encoder (families that are exported fast), int8: the export; predict: what
ships; profile: what drift compares with; server; publishing.
"""
