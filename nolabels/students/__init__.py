"""Who learns: training, the ONNX export, the finished model in use.

May import labeling, teachers, data and core.

training: fine-tuning, of any encoder that transformers loads; assistant; onnx_graph: the export; bert_encoder: the families
of students that are exported fast, and where a family is added; int8; predict: what ships; profile: what drift compares with;
server; publishing.
"""
