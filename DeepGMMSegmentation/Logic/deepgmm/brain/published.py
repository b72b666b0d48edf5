"""What gmm-loss-brain-paper reports, Tables 1 to 5, per cent.

Its Tables 3 and 4 are said to be intersection over union. Beside recalls of the same networks they
look like F1, of which nothing is said; ours gives both.
"""

from __future__ import annotations

from deepgmm.brain.tissues import BrainTissue

CSF, GM, WM = BrainTissue.CSF, BrainTissue.GM, BrainTissue.WM

#: The paper's networks, and which of ours stands beside each; for the others none does.
NETWORKS: dict[str, str | None] = {
    "U-Net": "unet", "U-Net++": "unet++", "TRMFCN": None, "ViT": None, "TransUNet": None,
    "MTUNet": None, "Our method": "modified-unet"}

FRACTIONS = (0.25, 0.5, 0.75)

#: Losses, as they are called here: cross entropy alone, and with the mixture loss.
LOSSES = ("L_CE", "L_CE + L_GMM_TV")

#: layout: loss: rows for `FRACTIONS`, columns for `NETWORKS`; mean recall (Tables 1 and 2).
RECALL: dict[str, dict[str, tuple[tuple[float, ...], ...]]] = {
    "IBSR18": {
        LOSSES[0]: ((91.95, 92.79, 92.67, 87.76, 92.27, 93.13, 93.62),
                    (93.83, 94.49, 94.27, 89.15, 94.03, 94.70, 94.95),
                    (94.54, 95.11, 95.01, 89.96, 94.61, 95.29, 95.50)),
        LOSSES[1]: ((92.89, 92.87, 93.07, 88.02, 92.56, 93.24, 93.64),
                    (94.17, 94.61, 94.43, 89.37, 94.11, 94.76, 95.01),
                    (94.73, 95.26, 95.03, 89.99, 94.65, 95.31, 95.54))},
    "MRBrainS18": {
        LOSSES[0]: ((87.63, 87.31, 87.47, 65.18, 87.11, 79.75, 88.07),
                    (88.39, 88.04, 88.19, 65.95, 87.83, 80.71, 88.79),
                    (88.27, 88.62, 88.71, 66.41, 88.37, 81.13, 89.33)),
        LOSSES[1]: ((87.91, 87.58, 87.72, 65.17, 88.04, 82.09, 88.09),
                    (88.82, 88.42, 88.53, 65.99, 88.97, 82.89, 88.92),
                    (89.93, 88.99, 88.97, 66.47, 89.41, 83.32, 89.39))}}

#: layout: loss: network: CSF, GM, WM at a quarter of the labels (Tables 3 and 4).
OVERLAP: dict[str, dict[str, dict[str, tuple[float, float, float]]]] = {
    "IBSR18": {
        LOSSES[0]: {"U-Net": (78.82, 92.13, 89.17), "U-Net++": (81.56, 92.96, 90.22),
                    "TRMFCN": (79.91, 92.55, 89.63), "ViT": (58.77, 86.03, 79.12),
                    "TransUNet": (77.63, 92.04, 88.91), "MTUNet": (81.19, 93.14, 90.48),
                    "Our method": (81.64, 93.20, 90.63)},
        LOSSES[1]: {"U-Net": (79.25, 92.20, 89.21), "U-Net++": (81.58, 93.00, 90.28),
                    "TRMFCN": (80.26, 92.59, 89.67), "ViT": (59.37, 86.92, 79.91),
                    "TransUNet": (78.21, 92.54, 89.41), "MTUNet": (81.41, 93.24, 90.54),
                    "Our method": (81.74, 93.30, 90.71)}},
    "MRBrainS18": {
        LOSSES[0]: {"U-Net": (85.56, 75.59, 71.98), "U-Net++": (85.09, 75.35, 71.83),
                    "TRMFCN": (85.60, 75.27, 72.15), "ViT": (47.12, 47.96, 46.01),
                    "TransUNet": (83.84, 75.37, 71.91), "MTUNet": (82.49, 66.34, 59.72),
                    "Our method": (85.79, 76.91, 72.80)},
        LOSSES[1]: {"U-Net": (85.95, 76.60, 73.01), "U-Net++": (85.55, 76.16, 73.25),
                    "TRMFCN": (85.70, 76.04, 72.86), "ViT": (48.02, 48.36, 46.61),
                    "TransUNet": (84.24, 76.11, 72.21), "MTUNet": (83.25, 67.24, 61.37),
                    "Our method": (86.09, 77.12, 73.01)}}}

#: Table 5, IBSR, no labels: row: tissue: precision, recall, F1, JS.
UNSUPERVISED: dict[str, dict[BrainTissue, tuple[float, float, float, float]]] = {
    "GMM": {GM: (80.90, 52.60, 63.42, 46.90), WM: (74.79, 74.86, 74.17, 59.92)},
    "network": {GM: (85.12, 60.12, 70.17, 54.56), WM: (73.12, 80.02, 75.59, 61.46)},
    "network with bias field": {GM: (89.26, 68.39, 77.29, 63.15),
                                WM: (77.96, 84.74, 80.79, 68.16)}}


def published_recall(layout: str, loss: str, fraction: float, network: str) -> float | None:
    """The paper's recall for one of our networks, or None where it has none."""
    if layout not in RECALL or loss not in RECALL[layout] or fraction not in FRACTIONS:
        return None
    for column, ours in enumerate(NETWORKS.values()):
        if ours == network:
            return RECALL[layout][loss][FRACTIONS.index(fraction)][column]
    return None


def published_overlap(layout: str, loss: str, fraction: float, network: str
                      ) -> tuple[float, float, float] | None:
    """The paper's CSF, GM, WM for one of our networks at a quarter of the labels, or None."""
    if fraction != FRACTIONS[0]:
        return None
    for name, ours in NETWORKS.items():
        if ours == network:
            return OVERLAP.get(layout, {}).get(loss, {}).get(name)
    return None
