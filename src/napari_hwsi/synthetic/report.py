"""A pathologist's report, written from the findings of a synthetic slide."""

from __future__ import annotations

from .truth import Findings

_TUBULES = {
    1: "more than 75 % of it forms glands",
    2: "10 to 75 % of it forms glands",
    3: "less than 10 % of it forms glands",
}
_NUCLEI = {1: "small and even nuclei", 2: "moderately varied nuclei", 3: "markedly pleomorphic nuclei"}
_MITOSES = {1: "low", 2: "moderate", 3: "high"}


def write_report(findings: Findings) -> str:
    """Return the report: nothing in it goes beyond the findings, and what was not looked for is left out."""
    sentences = ["Synthetic slide, haematoxylin and eosin."]
    share = findings.shares
    if findings.grade is None or not (findings.tubules and findings.nuclei and findings.mitoses):
        sentences.append("No tumour is seen.")
    else:
        total = findings.tubules + findings.nuclei + findings.mitoses
        sentences += [
            f"Invasive adenocarcinoma, grade {findings.grade} of 3 (tubules {findings.tubules}, "
            f"nuclei {findings.nuclei}, mitoses {findings.mitoses}; sum {total}).",
            f"The tumour grows in nests: {_TUBULES[findings.tubules]}.",
            f"It has {_NUCLEI[findings.nuclei]}; mitotic activity is {_MITOSES[findings.mitoses]}.",
            f"Tumour cells cover {_percent(share['tumour'])} of the tissue.",
        ]
        if share["necrosis"] > 0:
            sentences.append(f"Necrosis in the middle of nests, {_percent(share['necrosis'])} of the tissue.")
        elif "necrosis" in findings.absent:
            sentences.append("No necrosis.")
        sentences.append(f"The lymphocytic infiltrate of the stroma is {findings.infiltrate}.")
    if share["lymphoid"] > 0:
        sentences.append(f"Lymphoid aggregates, {_percent(share['lymphoid'])} of the tissue.")
    elif "lymphoid" in findings.absent:
        sentences.append("No lymphoid aggregates.")
    if share["gland"] > 0:
        sentences.append(
            "Normal glands are seen beside the lesion." if findings.grade else "Normal glands are seen."
        )
    if share["fat"] > 0:
        sentences.append("Fat is included.")
    elif "fat" in findings.absent:
        sentences.append("No fat is included.")
    if share["blood"] > 0.01:
        sentences.append(
            "There are blood-filled vessels and fresh haemorrhage."
            if share["blood"] > 0.02
            else "Blood is seen."
        )
    return " ".join(sentences)


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"about {round(100 * share)} %"
