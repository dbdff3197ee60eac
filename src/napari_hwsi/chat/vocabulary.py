"""The words that questions to the measured answerer are made of. To teach it a wording, add it here."""

from __future__ import annotations

from typing import Literal, TypeAlias

Topic: TypeAlias = Literal[
    "count", "densest", "sparsest", "density", "largest", "smallest", "size", "shape", "stain", "spacing",
    "types", "tissue", "compare", "kept", "phrases", "resolution", "summary", "help", "refused", "unclear",
]  # fmt: skip


def words(text: str) -> frozenset[str]:
    """Return the words of ``text``."""
    return frozenset(text.split())


NUCLEI = r"(?:nuclei|nucleus|nuclear|cells?|cellular)"
SLIDE = r"(?:whole|entire|full|complete|overall|rest of the) (?:slide|section|image|specimen|scan)"
_CROWDED = rf"(?:number of |densely )?(?:dens\w+|crowded|packed|cellularity|populated|concentrat\w+|{NUCLEI})"
_VIEW = r"(?:view|field|box|region|image|picture|crop|slide|section)"

# Patterns of whole words, tried from the top; what one has matched is not seen by those below it.
TOPICS: tuple[tuple[Topic, tuple[str, ...]], ...] = (
    ("help", (r"what (?:can|could) (?:you|i) \w+", r"help")),
    ("summary", (
        r"what(?: is| are|s)?(?: there)?(?: visible)? (?:in|on) (?:here|(?:this|the) \w+)",
        r"what is (?:here|this)", r"what (?:do|can) you see", r"what does \w+ \w+ show", r"tell me about",
        r"describe", r"description", r"summar\w+", r"overview", r"facts", r"stat(?:istic)?s", r"everything",
    )),
    ("kept", (r"kept", r"keep", r"select\w*", r"chosen", r"filter\w*", r"retained", r"patches")),
    ("densest", (
        r"densest", r"hot ?spots?", rf"(?:most|highest|greatest|maximum|max|peak) {_CROWDED}",
        r"concentrated", r"clustered",
    )),
    ("sparsest", (r"sparse\w*", r"emptiest", rf"(?:least|lowest|fewest|minimum|min) {_CROWDED}")),
    ("density", (
        r"per (?:square |sq )?(?:mm\w*|millimet\w+)(?: of tissue)?", rf"{NUCLEI} ?/ ?mm\w*",
        r"densit(?:y|ies)", r"denser?", r"densely", r"cellularity", r"crowd\w+", r"packed", r"how cellular",
    )),
    ("spacing", (r"nearest(?: neighbou?rs?)?", r"neighbou?r\w*", r"spac(?:ing|ed)", r"apart", r"distances?")),
    ("resolution", (
        r"resolution", r"magnif\w+", r"mpp", r"pixel size", r"(?:um|µm|microns?|micromet\w+) per pixel",
        r"objective", r"zoom",
    )),
    ("tissue", (
        rf"(?:area|size|large|big|wide|tall|high)(?: of| is| are)? (?:the |this ){_VIEW}",
        rf"{_VIEW} (?:area|size)", r"tissue(?: area)?", r"glass", r"background", r"empty", r"area(?= is)",
    )),
    ("largest", (r"largest", r"biggest", r"hugest")),
    ("smallest", (r"smallest", r"tiniest")),
    ("size", (r"sizes?", r"sized", r"areas?", r"diameters?", r"large", r"big", r"small", r"length")),
    ("shape", (
        r"shapes?", r"round\w*", r"elongat\w+", r"circular\w*", r"spindle\w*", r"oval", r"eccentric\w*",
        r"irregular\w*", r"aspect ratio",
    )),
    ("stain", (r"ha?ematoxylin", r"stain\w*", r"dark\w*", r"hyperchrom\w*", r"pale\w*", r"optical density")),
    ("compare", (
        rf"(?:relative|than|unlike|ratio)(?=.*\b{SLIDE})", r"compar\w+", r"versus", r"vs", r"differ\w*",
        r"than (?:average|elsewhere|usual)", r"typical",
    )),
    ("types", (r"(?:cell |nuclear )?(?:types?|kinds?|class(?:es)?)", r"composition")),
    ("phrases", (r"phrases?", r"relevan\w+", r"scores?")),
    ("count", (r"counts?", rf"{NUCLEI} (?:number|total)")),
)  # fmt: skip

# Asks for the densest places where a clause names no topic.
WHERE = rf"where (?:are|is|do|can)(?: \w+){{0,3}}? (?:{NUCLEI}|they)"

# Topics whose words are so common that they count only in a clause where every other word is known.
EVERYDAY = frozenset({"help", "summary", "tissue", "size", "stain"})

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
    a about all also an and any approximately are area as at average be been box by calculate can cell
    cells cellular comprehensive compute could current currently data detailed detected did different
    displayed do does each estimate exact exactly field find for found fraction from give has have here
    how i if image in is it its know let like list located look many me mean measure measured
    measurement measurements median much my name now nuclear nuclei nucleus number observe observed of
    on one ones or our out over overall part per percent percentage picture place places please point
    present proportion proportions provide region roughly say scale screen section see segmented share
    short should show shown slide slides so some summary tell than that the their them then there these
    they this those to together total typically up us values view visible was we were what whats when
    where which who why will with within would wsi you your
""")

# Where the counted thing of "how many …" ends, and what it may be besides nuclei.
NOUN_ENDS = words("""
    are at can could did do does exist fit for from has have here i in is kept lie of on per selected that
    there was we were where which with within you
""")
COUNTED = words("all cell cells individual nuclear nuclei nucleus segmented the total up visible")
COUNTED_ELSEWHERE = words("patch patches type types kind kinds phrase phrases")
