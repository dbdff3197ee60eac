"""What the controls of the docks say when the pointer rests on them."""

from __future__ import annotations

CANCEL = "Stop within a second. What is finished is kept."
SCOPE = (
    "Visible region: exactly what the canvas shows.\n"
    "Drawn shapes: rectangles, ellipses and polygons of a Shapes layer (the selected ones, if any).\n"
    "Whole slide: everything."
)
SCOPES = {
    "Visible region": "Visible region: exactly what the canvas shows.",
    "Drawn shapes": "The box round what is drawn: rectangles, ellipses and polygons of a Shapes layer.",
    "Selected nuclei": "The box round the nuclei that are selected.",
    "Whole slide": "The whole slide.",
}
RESEARCH_USE = "Research use only."
RESEARCH = "Not a medical device. Not for diagnosis or treatment."

SLIDES = "The slides that are open. Choosing one shows only this slide; the others are hidden until chosen."

OPEN_SLIDE = "Choose a slide file and open it with napari-hwsi."
MPP = "How large a pixel of the slide is, in µm. It is remembered for this slide."
MAGNIFICATION = "Zoom to {value}x, {um:g} µm per screen pixel, about the middle of the view."
MAGNIFICATION_EDIT = (
    "The magnification on the screen. Type another, such as 7.5x, and press Enter.\n"
    "It needs the pixel size of the slide."
)
SCALE_BAR = "Show the scale bar."
DRAWING = (
    "napari's asynchronous rendering, for all its layers; also in Preferences > Experimental.\n"
    "Off: a move waits until its pixels are read and shows them at once.\n"
    "On: the window stays free, and what was there stands until the new pixels are read."
)
GO_TO = (
    "Centre the view on this place of the slide, counted from its top left corner: y down, x to the right,\n"
    "as 1200, 3400 or as x 3400 y 1200."
)
UNIT = "Pixels of the finest level, or µm on the glass."
BOOKMARK = "Keep the present view under this name. It is remembered for this slide."
BOOKMARKS = "Views you named on this slide. Double-click to go there; F2 renames."
MINIMAP = (
    "The whole slide, and the part on the screen.\n"
    "Click or drag to move; the wheel, + and - zoom; arrow keys move by half a view."
)
ICC = (
    "Convert all pixels to sRGB by the colour profile that the scanner wrote into the file.\n"
    "Off: pixels as they are stored, which is what most models were trained on."
)
ASSOCIATED = (
    "Pictures that the scanner put beside the slide.\n"
    "Label and macro can show names and dates of the patient. They are never sent anywhere."
)

SEGMENTER = "How nuclei are found. Weights of your own are named after a colon: cellvit:weights.pth."
SEGMENT = (
    "Find nuclei in the chosen part of the slide. The Nuclei layer is replaced;\n"
    "one that was corrected by hand is kept in a layer of its own."
)
COLOUR_BY = "What the colours of the nuclei stand for: their type or one of their measurements."
FILLED = "Fill the nuclei instead of outlining them."
SAVE_CELLS = "Save outlines and measurements: GeoJSON (QuPath reads it) or Parquet."

OPEN_TABLE = "Open the Nuclei table: sort, filter, select and plot nuclei."
OPEN_COUNT = "Open Count nuclei: counts and densities by region, and maps."
OPEN_CORRECT = "Open Correct nuclei: paint, delete, merge and split them."

EDIT_NUCLEI = "Paint on the nuclei of what the canvas shows. Those that its border cuts stay as they are."
NEW_NUCLEUS = "Take the brush with a number that is free, and paint a nucleus."
DELETE_NUCLEI = "Click a nucleus, or drag across several."
MERGE_NUCLEI = "Drag from one nucleus to another. A gap between them is filled."
SPLIT_NUCLEI = "Drag across a nucleus from edge to edge, or click it to split it at its waist."
UNDO_STROKE = "Take back the last stroke, deletion, merge or split; Ctrl+Z too."
KEEP_NUCLEI = "Trace and measure what changed, and put it in the table, marked as edited."
DISCARD_NUCLEI = "Leave the nuclei as they were before you edited them."
UNDO_CORRECTION = "Bring back the nuclei from before the last time you chose Keep."
NEW_TYPE = "The type of nuclei that you paint where none was."

FILTER = (
    'Which nuclei are listed, such as area_um2 > 40 and type == "lymphocyte"; Enter applies it.\n'
    "Names of columns, in `backticks` where they are more than a word (rest the pointer on a heading), type\n"
    "and probability, numbers, words in quotes, comparisons, and, or, not, + - * / and brackets."
)
NUCLEI_TABLE = (
    "A heading sorts. What is selected here is selected on the slide, and the reverse.\n"
    "Double-click or Enter: the view flies there."
)
LASSO = "Drag a line round points: their nuclei are selected."
SELECT_FILTERED = "Select all nuclei that are listed."
SHOW_ONLY = "Draw only the nuclei that are listed; again: all."
SAVE_SELECTION = (
    "Save the selected nuclei with their measurements: CSV, GeoJSON (QuPath reads it) or Parquet."
)

GROUND = (
    "What densities are per mm² of: the tissue in a region, artefacts left out, or all of its area.\n"
    "Tissue where nuclei were not looked for is left out too."
)
COUNT = (
    "Count the nuclei on the screen in each drawn rectangle, ellipse and polygon of a Shapes layer, in what\n"
    "the canvas shows, and in the whole slide. A nucleus lies where its centre does."
)
COUNTS = (
    "Choosing a row flies to its region. A shape has the name in the column “name” of its layer's features.\n"
    "95 %: how surely what was found stands for more tissue of the kind (exact Poisson, Wilson for shares),\n"
    "not how well it was found."
)
SAVE_COUNTS = "Save the table as CSV, with all bounds."
MAP_OF = "Nuclei per mm² of tissue, the type that is most frequent, or the share of a type, bin by bin."
BINS = "How wide a square of the map is on the ground. Small ones hold few nuclei, so they are noisy."
SHOW_MAP = "Show the map over the slide, with its colour bar."

SHOW_TISSUE = "Find tissue and artefacts, and show them by class."
EDIT_TISSUE = "Paint classes with napari's brush, eraser and fill. What is not tissue is not analysed."
CLASS = "What the brush paints."
USE_TISSUE = "Keep the painted map for this slide: analysis and segmentation use it, also after a restart."
DISCARD_TISSUE = "Leave the map as it was before you painted."
AUTOMATIC_TISSUE = "Forget the edited map of this slide and find tissue from the image again."

PROFILE = "The choice of segmenter, encoder and filter that belong together."
NORMALISE = (
    "Bring the slide's colours to a reference's before its patches become vectors, so that slides stained\n"
    "otherwise can be compared: macenko exchanges the stains, reinhard mean and spread of the colours."
)
PARTS = (
    "Patches: their vectors, the filter, and the regions' vectors. Nuclei: found and measured.\n"
    "What is not chosen stays as it is in the result. The cells of kept patches are fused (CCAF) where both\n"
    "are there and the profile does so."
)
DEVICE = "Where networks run; auto takes a GPU where there is one."
REGIONS = (
    "square: 2048 µm a side. adaptive: grown within the squares by the likeness of their patches; each\n"
    "keeps patches of its own."
)
SURVIVORS = (
    "How many patches of a region the profile's encoder sees. Fewer make the filter one of two steps: the\n"
    "descriptor, which costs little, picks those that differ most."
)
ESTIMATE = (
    "Rough: by what a square millimetre of tissue took the last run, of the same kind, on this machine."
)
RUNG = "Show it on the slide."
RUNG_BACK = "The one before"
RUNG_ON = "The next one"
STORE = "The folder that holds the result. What is in it already is not computed again."
PHRASES = "One phrase a line. Patches are kept by how well they fit these."
ANALYSE = "Find tissue, nuclei and the patches worth reading; the layers appear as parts are finished."
OPEN_RESULT = "Open a result that was computed earlier; or drop its folder here."

CCAF_SCOPE = (
    "Visible region: the nuclei on the screen, patch by patch of the grid (128 µm).\n"
    "Drawn shapes: the nuclei in them, all as one set.\n"
    "Kept patches: those that the analysis kept; taken from the result where it has fused them."
)
CCAF_DEVICE = "Where the network runs; on a GPU in mixed precision (bfloat16)."
FUSE = (
    "Cell-Cell Attention Fusion: what a patch's cells come to, and how much each counts in it.\n"
    "Nuclei of cellvit, which have vectors, go through the release's CCAF (weights of DINOv2 small); "
    "all others, by what is measured of them, through the one that ships."
)
MOST_ATTENDED = "The nuclei with the largest shares. Choosing one shows it on the slide."
LIKENESS = "Choose a patch: the others are listed by the cosine of their cell tokens to its own."

ANSWERER = "Who answers. What each is stands below the list."
ADDRESS = "Such as http://localhost:11434/v1."
KEY = (
    "A key of this server, kept in the keyring of this system when you press Enter; empty: forgotten.\n"
    "The environment variable HWSI_API_KEY goes before it."
)
TEST = (
    "Ask the server which models it offers, and the chosen one to name the colour of two plain pictures\n"
    "made for this: so it shows whether it sees. Nothing of a slide is sent."
)
MODEL_FOLDER = "A folder that holds the model, or its name on the hub, which it is then fetched from."
MODEL = "The model that answers. To read pictures it must be a vision model."
BADGE = "Whether the work is done on this machine (local) or what is asked is sent to another (remote)."
PREVIEW = "Exactly the picture that is sent, with nothing beside it but the question and measured facts."
QUESTION = (
    "Type a question and press Enter. Up brings back the last one, Esc stops, Alt+1 to Alt+9 fly to places.\n"
    "Ctrl+Shift+N: a new conversation; Ctrl+Shift+E: edit the last question; Ctrl+Shift+K: check the answer."
)
STOP = "Stop the answer within a second."
CHIP = "Show this place. Resting the pointer on it outlines it."
CONVERSATIONS = "The conversations about this slide, kept beside its result."
NEW_CONVERSATION = "Begin a new conversation (Ctrl+Shift+N). This one is kept."
MORE_CONVERSATION = "Save the conversation with pictures of its places, draft a report, delete."
ALWAYS_CHECK = "Check each answer as soon as it is there. Pictures for a remote server wait for your consent."
SUGGESTION = "Click to ask this."
SENT = "The picture that was sent with this question."
SEND_CHECK = "Send these pictures, one by one, each with the same question."
TURN = {
    "Copy": "Copy the answer with its places and notes.",
    "Edit": "Change this question and ask again, in a new conversation that goes on from before it.",
    "Check": "Ask the same without the image, with another place's, shuffled, and unchanged:\n"
    "does the answer depend on the image?",
    "Repeat": "Ask the same five times more: how many answers say the same?",
    "More": "What the answer rests on, found by leaving out a part at a time; the check with another slide.",
}
LEAVE_OUT = (
    "Ask the same with one part of the image left out at a time, and score each by how much the answer\n"
    "changes: a map with a colour bar, the weightiest as places. A question a part; Stop ends it."
)
CHECK_WITH = "The check, with the image of this slide in place of another place of the same slide."
CHECK_WITH_FILE = "The check, with the image of the slide of a result on disk (a folder .hwsi.zarr)."

CLEAR = "Begin a new conversation."

SCORE_MAP = "The filter's relevance, each phrase's score, the share of each nucleus in its patch (CCAF)."
PERCENTILE = "Ranks among the units, 0 to 100, in place of raw scores."
KEEP_MAP = "Show the next map beside the last one, to switch between them."
SHOW_SCORES = "Lay the map on the slide, a pixel a unit, never smoothed, with a colour bar."
LINKED = "Open the slide with this map in a second window that looks where this one does."
THRESHOLD = "Scores from here on; at first the highest tenth."
OUTLINE = "Draw where scores are at least this as shapes: to count in, ask about, or save."
SAVE_MAPS = (
    "All maps of the result: OME-Zarr, OME-TIFF, GeoJSON for QuPath, CSV, Parquet, or a picture of each."
)

WALK = "The model looks at the whole slide, then closer; its path is drawn. Cancel stops it within a second."
WALK_ON = "Go on from the walk that is shown, for as many steps again."
WALK_STEPS = "Steps at the most; then it must answer."
WALK_SENT = "Pictures of the places it looks at and measured numbers go to this server; no names, no label."
RECORD = "Keep where your view rests, how closely, and your notes. Nothing leaves this machine."
STEPS = "The steps of the walk. Choosing one flies there."
REPLAY = "Fly through the steps, one after another; press again to stop."
SAVE_WALK = "Save the walk as JSON."
OPEN_WALK = "Open a walk of this slide."
