"""The visual phrases the descriptor understands.

Each phrase is a set of signed weights over named measures: how a patch of that look differs
from an average one. They describe appearance and nothing else: "many small dark nuclei" is
how lymphocytes look, and so do other cells; "necrosis-like debris" is dark specks without
whole nuclei, no diagnosis, and the least tried of these phrases. Colours are absolute: on a
slide with strongly orange eosin all collagen is rather "orange-red, like blood". So compare
patches of one slide, not slides.
"""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, Mapping[str, float]] = {
    "crowded nuclei": {
        "nuclear_share": 2,
        "nuclear_blobs": 2,
        "haematoxylin_mean": 1,
        "haematoxylin_p90": 1,
        "pale_share": -1,
        "pink_share": -1,
    },
    "few nuclei": {"nuclear_share": -2, "nuclear_blobs": -2, "haematoxylin_p90": -1, "nuclear_pieces": -1},
    "large dark nuclei": {
        "nuclear_depth_2um": 1,
        "nuclear_depth_3um": 2,
        "nuclear_area_a_blob": 1,
        "nuclear_darkness": 1,
        "nuclear_share": 1,
        "nuclear_pieces": 1,
        "haematoxylin_band_8um": 1,
        "dark_mass_share": -3,
        "pale_wide_share": -1,
    },
    "many small dark nuclei": {
        "nuclear_blobs": 2,
        "nuclear_pieces": 2,
        "nuclear_darkness": 1,
        "haematoxylin_band_4um": 1,
        "nuclear_depth_4um": -1,
        "nuclear_area_a_blob": -1,
        "nuclear_elongation": -1,
        "pink_share": -1,
    },
    "nuclei of uneven size": {"nuclear_area_spread": 2, "nuclear_depth_4um": 1, "chromatin_sd": 1},
    "spindle-shaped nuclei": {
        "nuclear_elongation": 2,
        "fibre_coherence_128um": 1,
        "fibre_coherence_16um": 1,
        "nuclear_blobs": 0.5,
    },
    "pink fibrous stroma": {
        "pink_share": 2,
        "eosin_mean": 1,
        "eosin_p50": 1,
        "fibre_coherence_16um": 1,
        "fibre_coherence_128um": 1,
        "nuclear_share": -1,
        "haematoxylin_mean": -1,
        "blood_red": -1,
    },
    "smooth pink": {
        "pink_share": 2,
        "pattern_0": 1,
        "edge_mean": -1,
        "nuclear_blobs": -1,
        "pale_share": -1,
    },
    "gland-like spaces among nuclei": {
        "pale_enclosed": 3,
        "nuclear_blobs": 1,
        "nuclear_pieces": 1,
        "nuclear_share": 0.5,
        "dark_mass_share": -1,
        "pale_share": -0.5,
    },
    "fat": {
        "pale_rooms": 3,
        "pale_wide_share": 2,
        "pale_share": 2,
        "pale_gap_share": -1,
        "nuclear_share": -1,
        "nuclear_blobs": -1,
        "eosin_p50": -0.5,
    },
    "pale or empty": {
        "pale_share": 2,
        "pale_wide_share": 2,
        "pattern_0": 1,
        "edge_mean": -1,
        "nuclear_share": -1,
        "saturation": -1,
        "red": 1,
        "green": 1,
        "blue": 1,
    },
    "orange-red, like blood": {"blood_red": 4, "nuclear_share": -0.5, "haematoxylin_p50": -0.5},
    "necrosis-like debris": {
        "dark_specks": 3,
        "haematoxylin_band_1um": 1,
        "nuclear_share": -1,
        "nuclear_blobs": -1,
        "nuclear_depth_2um": -1,
        "fibre_coherence_16um": -1,
        "pale_wide_share": -1,
        "pale_gap_share": -0.5,
    },
}
