"""Which of the nodes that the user chose are there, and on whose grid the study lies."""

from deepgmm.study.words import Role, grid_role
from DeepGMMSegmentationLib.parameters import PanelState


def volumes(state: PanelState) -> dict:
    """The volume nodes that are chosen, by role."""
    chosen = {Role.BSSFP: state.bssfp, Role.LGE: state.lge, Role.T2: state.t2}
    return {role: node for role, node in chosen.items() if is_there(node)}


def is_there(node) -> bool:
    """Whether a field holds a node; one that was deleted is shown for a while longer."""
    return node is not None and node.GetScene() is not None


def reference(state: PanelState):
    """The volume on whose grid the study lies, or None."""
    nodes = volumes(state)
    return nodes[grid_role(nodes)] if nodes else None
