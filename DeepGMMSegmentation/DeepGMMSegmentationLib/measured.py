"""Numbers as the panel's tables and lines say them."""

from slicer.i18n import tr as _


def masses(study: dict) -> list[list[str]]:
    """Rows of what was sought; obstruction and all infarct where there is obstruction."""
    titles = {"blood": _("Blood"), "wall": _("LV wall"), "myocardium": _("Myocardium"),
              "edema": _("Edema"), "scar": _("Scar"), "obstruction": _("Obstruction"),
              "infarct": _("Infarct"), "area_at_risk": _("Area at risk")}
    obstructed = bool(study) and bool(study["obstruction_volume"].value)
    rows = []
    for group, title in titles.items():
        amount = study.get(f"{group}_volume")
        if amount is None or amount.value is None \
                or group in ("obstruction", "infarct") and not obstructed:
            continue
        rows.append([title, f"{amount.value:.1f}",
                     "" if group == "blood" else f"{study[f'{group}_mass'].value:.1f}",
                     percent(study, f"{group}_percent", "")])
    return rows


def transmurality(study: dict) -> str:
    """Of the whole wall, in a line; or why there is none."""
    mean = study["transmurality_mean_radial"]
    if mean.value is None:
        return _("Transmurality: {why}.").format(why=mean.why)
    said = _("Transmurality: mean {mean:.0f} %, 95th percentile {high:.0f} %; over 50 % on {over} "
             "of {all} sectors of 5 degrees.").format(
        mean=mean.value, high=study["transmurality_p95_radial"].value,
        over=round(study["chords_over_50_radial"].value), all=round(study["chords_radial"].value))
    return said.replace(" %", "\N{NO-BREAK SPACE}%")


def percent(row: dict, key: str, unit: str = " %") -> str:
    """One number of a segment or of the study; "none", or nothing without a unit."""
    found = row.get(key)
    if found is None or found.value is None:
        return "" if not unit else _("none")
    return f"{found.value:.0f}{unit}"


def methods(numbers: list) -> list[tuple[list[str], str]]:
    """Rows of the reference methods, ours first, and why a number of a row is missing."""
    ways: dict[str, dict] = {}
    for one in numbers:
        if one.scope == "method":
            ways.setdefault(one.where, {})[one.key] = one

    def text(row: dict, key: str, digits: int) -> str:
        found = row.get(key)
        return "" if found is None else "-" if found.value is None else f"{found.value:.{digits}f}"

    ordered = sorted(ways, key=lambda name: name != "segmentation")
    return [([_("Segments drawn") if name == "segmentation" else name,
              text(ways[name], "infarct_percent", 0), text(ways[name], "infarct_mass", 1),
              text(ways[name], "area_at_risk_percent", 0),
              text(ways[name], "dice_with_segmentation", 2)],
             "; ".join(dict.fromkeys(one.why for one in ways[name].values() if one.why)))
            for name in ordered]
