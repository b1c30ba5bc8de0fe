"""What stages and commands are made of. Functions here are pure; stages and commands open the files.

The modules of this folder are commands, run as `python -m nolabels.NAME`; each may import every package. The packages
import one way, each only those below it (a test holds that):

    reporting   what people read              setup   before the first run (imports data and core)
    students    who learns
    labeling    from scores to labels
    teachers    who labels
    data        texts and people's answers       onnx    sequence classifiers as ONNX graphs
    core        under everything
"""
