"""The words that questions to the measured answerer are made of. To teach it a wording, add it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Topic: TypeAlias = Literal[
    "count", "densest", "sparsest", "density", "largest", "smallest", "size", "total", "perimeter", "shape",
    "stain", "eosin", "spacing", "types", "tissue", "compare", "kept", "phrases", "resolution", "summary",
    "help", "refused", "limited", "unclear",
]  # fmt: skip


def words(text: str) -> frozenset[str]:
    """Return the words of ``text``."""
    return frozenset(text.split())


NUCLEI = r"(?:nuclei|nucleus|nuclear|cells?|cellular)"
SLIDE = r"(?:whole|entire|full|complete|overall|rest of the) (?:slide|section|image|specimen|scan)"
_CROWDED = rf"(?:number of |densely )?(?:dens\w+|crowded|packed|cellularity|populated|concentrat\w+|{NUCLEI})"
_VIEW = r"(?:view|field|box|region|image|picture|crop|slide|section|area|place|part)"
_AREA = rf"(?:{NUCLEI} )?(?:areas?|sizes?|diameters?)(?: of (?:an? |the |any )?{NUCLEI})?"
_ALL_AREA = rf"(?:{NUCLEI} )?area(?: of (?:all )?(?:the )?{NUCLEI})?"

# Patterns of whole words, tried from the top; what one has matched is not seen by those below it.
TOPICS: tuple[tuple[Topic, tuple[str, ...]], ...] = (
    ("help", (r"what (?:can|could) (?:you|i) \w+", r"help")),
    ("summary", (
        rf"what(?: is| are|s)?(?: there)?(?: visible)? (?:in|on) (?:here|(?:this|the) {_VIEW})",
        r"what is (?:here|this)", r"what (?:do|can) you see", r"what does \w+ \w+ show", r"tell me about",
        r"describe", r"description", r"summar\w+", r"overview", r"facts", r"stat(?:istic)?s", r"everything",
    )),
    ("kept", (r"kept", r"keep", r"select\w*", r"chosen", r"filter\w*", r"retained", r"patches")),
    ("total", (
        rf"(?:total|sum|summed|combined)(?: of)?(?: the)? {_ALL_AREA}", rf"{_ALL_AREA} in total",
        rf"area of all (?:the )?{NUCLEI}",
    )),
    ("largest", (rf"(?:largest|biggest|maximum|max|maximal|greatest|highest) {_AREA}",)),
    ("smallest", (rf"(?:smallest|minimum|min|minimal|least|lowest) {_AREA}",)),
    ("densest", (
        r"densest", r"hot ?spots?", rf"(?:most|highest|greatest|maximum|max|peak) {_CROWDED}",
        r"concentrated", r"clustered",
    )),
    ("sparsest", (r"sparse\w*", r"emptiest", rf"(?:least|lowest|fewest|minimum|min) {_CROWDED}")),
    ("density", (
        r"per (?:square |sq )?(?:mm\w*|millimet\w+)(?: of tissue)?", rf"{NUCLEI} ?/ ?mm\w*",
        r"densit(?:y|ies)", r"denser?", r"densely", r"cellularity", r"crowd\w+", r"packed", r"how cellular",
    )),
    ("spacing", (
        r"nearest(?: neighbou?rs?)?", r"neighbou?r\w*", r"spac(?:ing|ed)(?: between)?", r"apart",
        r"distances?(?: between)?",
    )),
    ("resolution", (
        r"resolution", r"magnif\w+", r"mpp", r"pixel size", r"(?:um|µm|microns?|micromet\w+) per pixel",
        r"objective", r"zoom",
    )),
    ("tissue", (
        rf"(?:area|size|large|big|wide|tall|high)(?: of| is| are)? (?:the |this ){_VIEW}",
        rf"{_VIEW} (?:area|size)", r"tissue(?: area)?", r"(?<!on )(?<!on the )glass",
        r"background", r"empty", r"area(?= is)",
    )),
    ("perimeter", (r"perimeters?", r"circumferences?")),
    ("largest", (r"largest", r"biggest", r"hugest")),
    ("smallest", (r"smallest", r"tiniest")),
    ("size", (r"sizes?", r"sized", r"areas?", r"diameters?", r"large", r"big", r"small", r"length")),
    ("shape", (
        r"shapes?", r"round(?:er|ish|ness)?", r"elongat\w+", r"circular\w*", r"spindle\w*", r"oval",
        r"eccentric\w*", r"irregular\w*", r"aspect ratio",
    )),
    ("eosin", (r"eosin(?: stain\w*)?",)),
    ("stain", (
        r"ha?ematoxylin", r"stain\w*", r"dark(?:er|ness)?", r"hyperchrom\w*", r"pale(?:r|ness)?",
        r"optical density",
    )),
    ("compare", (
        rf"(?:relative|than|unlike|ratio)(?=.*\b{SLIDE})", r"compar\w+", r"versus", r"vs",
        r"differ\w*(?: between)?", r"than (?:average|elsewhere|usual)", r"typical",
    )),
    ("types", (r"(?:cell |nuclear )?(?:types?|kinds?|class(?:es)?)", r"composition")),
    ("phrases", (r"phrases?", r"relevan\w+", r"(?:highest |best )?scores?")),
    ("count", (r"counts?", rf"any {NUCLEI}", rf"{NUCLEI} (?:number|total)")),
)  # fmt: skip

# Asks for the densest places where a clause names no topic.
WHERE = rf"where (?:are|is|do|can)(?: \w+){{0,3}}? (?:{NUCLEI}|they)"

# Topics whose words are so common that they count only in a clause where every other word is known.
EVERYDAY = frozenset({"help", "summary", "tissue", "count", "size", "stain"})

# What narrows a question in ways that no answer here takes into account, where no topic has used it.
LIMITS = words(r"""
    not (?:are|is|was|were|do|does|did|has|have|can)nt cannot never without except excluding no none non
    outside beyond between among half halves left upper lower top bottom middle cent(?:re|er)s? corners?
    edges? borders? peripher\w* quarters? quadrants? thirds? north\w* south\w* east\w* west\w*
    near close(?:r|st)? next adjacent touch\w* overlap\w* surround\w* above below under
    maxim(?:um|al) max minim(?:um|al) min extreme total sum summed combined
    deviation varia(?:nce|tion) range percentiles? quartiles? histogram distribution correlat\w* volumes?
    (?:dark|pal|light|round|long|short|wid|thin|thick|far|furth|high|low|great|few)(?:th)?est
    \d[\d.]*\w*
""") | {
    r"right(?! (?:now|here))",
    r"per(?! cent)",
    rf"within(?! (?:(?:this|the|my) )?(?:whole |entire |current )?{_VIEW}\b)",
}

# Averages are of a measurement, and say nothing of a count or of tissue.
AVERAGE = frozenset({"average", "mean", "median", "typical"})
AVERAGED: frozenset[Topic] = frozenset(
    ("density", "size", "perimeter", "shape", "stain", "eosin", "spacing", "compare")
)

# What a topic may share a clause with. "How dark are the largest nuclei?" asks for a part of them,
# and the answer would be about all. Topics that are missing here go with each other.
GOES_WITH: Mapping[Topic, frozenset[Topic]] = {
    "count": frozenset(("density", "densest", "sparsest", "tissue", "compare", "summary", "help")),
    "densest": frozenset(("sparsest", "count", "density", "tissue", "summary")),
    "sparsest": frozenset(("densest", "count", "density", "tissue", "summary")),
    "largest": frozenset(("smallest", "size", "tissue", "summary")),
    "smallest": frozenset(("largest", "size", "tissue", "summary")),
}
# The same for one type of nuclei, or one phrase.
NAMED_GOES_WITH: frozenset[Topic] = frozenset(("types", "phrases", "count", "tissue", "summary"))

# Beginnings of words that name what only a person, or a trained model, can tell.
UNMEASURED = words(r"""
    diagnos disease patholog histolog abnormal normal healthy lesion quality patient
    tumou?r cancer carcinom sarcom lymphom melanom adenom malign benign neoplas metasta dysplas invas
    infiltrat differentiat grad(?:e|ing) stag(?:e|ing) gleason prognos surviv recur treat therap
    mitos mitot apopto prolifer ki-?67 her2 receptor mutat genes?\b genetic molecul subtyp biomark
    lymph inflam epitheli strom immun plasma macrophag neutrophil eosinophil fibro endotheli
    gland vessel vascul duct follic nerve muscle adipo fat necro keratin lumen lumin epiderm dermis
    cartilag bone blood cyst papill architect margin ulcer o?edema ha?emorr collagen mucin organs?\b
    atypi pleomorph anaplas chromatin nucleol cytoplasm
""") | {
    r"(?:kinds?|types?|sort) of (?:tissue|organ|slide|specimen|sample)",
    r"(?:what|which) tissue",
    r"tissue type",
    r"\w+ than \d",
}

# Words that carry no meaning of their own here.
STOP = words("""
    a about actually all also altogether an and any approximately are area as at average be been box by
    calculate can cell cells cellular comprehensive compute could current currently data detailed
    detected did different displayed do does each estimate exact exactly field find for found fraction
    from give has have here how i if image in is it its know let lie lies like list located look many me
    mean measure measured measurement measurements median much my name now nuclear nuclei nucleus number
    observe observed of on one ones or our out over overall part per percent percentage picture place
    places please point present proportion proportions provide region right roughly say scale screen
    section see segmented share should show shown slide slides so some summary tell than that the their
    them then there these they this those to together total typically up us values view visible was we
    were what whats when where which who why will with within would wsi you your
""")

# Where the counted thing of "how many …" ends, and what it may be besides nuclei.
NOUN_ENDS = words("""
    are arent at between can cant could did do does dont exist fit for from has have here i in is isnt
    kept lie near not of on outside per selected that there was we were where which with within without
    you
""")
COUNTED = words("all cell cells individual nuclear nuclei nucleus segmented the total up visible")
COUNTED_ELSEWHERE = words("patch patches type types kind kinds phrase phrases")
