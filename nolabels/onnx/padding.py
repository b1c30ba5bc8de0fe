"""Attention that reads no mask where a batch has no padding.

onnxruntime's MultiHeadAttention copies a mask into the scores of each head, also where it hides nothing, which takes
time. So each stands in an If, whose other branch is the same attention without the mask.
"""

import onnx
from onnx import TensorProto, helper

MASK = 4  # which input of MultiHeadAttention the mask is
UNPADDED = "unpadded"  # the value that says so


def attend_unmasked(model: onnx.ModelProto) -> None:
    """Has each MultiHeadAttention of a graph, in place, read its mask only where a batch is padded.

    Parameters
    ----------
    model : onnx.ModelProto
        All its attention reads one mask, int32, 0 for padding. A model without such nodes stays as it is.
    """
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "MultiHeadAttention":
            nodes.append(node)
            continue
        if not any(UNPADDED in one.output for one in nodes):
            nodes += _condition(node.input[MASK])
        branches = {"then_branch": _branch(node, masked=False), "else_branch": _branch(node, masked=True)}
        nodes.append(helper.make_node("If", [UNPADDED], list(node.output), node.name, **branches))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _condition(mask: str) -> list[onnx.NodeProto]:
    """Makes UNPADDED: whether the mask hides nothing."""
    return [
        helper.make_node("ReduceMin", [mask], [f"{UNPADDED}_least"], keepdims=0),
        helper.make_node("Cast", [f"{UNPADDED}_least"], [UNPADDED], to=TensorProto.BOOL),
    ]


def _branch(node: onnx.NodeProto, masked: bool) -> onnx.GraphProto:
    """One attention alone, with the mask or without, whose output has a name of its own."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.output[0] += " masked" if masked else " unmasked"
    if not masked:
        copy.input[MASK] = ""
    output = helper.make_tensor_value_info(copy.output[0], TensorProto.FLOAT, None)
    return helper.make_graph([copy], copy.output[0], [], [output])
