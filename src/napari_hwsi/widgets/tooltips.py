"""What the controls of the docks say when the pointer rests on them."""

from __future__ import annotations

CANCEL = "Stop within a second. What is finished is kept."
SCOPE = (
    "Visible region: exactly what the canvas shows.\n"
    "Drawn shapes: rectangles, ellipses and polygons of a Shapes layer (the selected ones, if any).\n"
    "Whole slide: everything."
)
RESEARCH_USE = "Research use only."
RESEARCH = "Not a medical device. Not for diagnosis or treatment."

OPEN_SLIDE = "Choose a slide file and open it with napari-hwsi."
MPP = "How large a pixel of the slide is, in µm. It is remembered for this slide."
MAGNIFICATION = "Zoom so that 10x is 1 µm per screen pixel, about the middle of the view."
SCALE_BAR = "Show the scale bar."
GO_TO = "Centre the view on this place, in pixels of the slide (x to the right, y down)."
ASSOCIATED = (
    "Pictures that the scanner put beside the slide.\n"
    "Label and macro can show names and dates of the patient. They are never sent anywhere."
)

SEGMENTER = "How nuclei are found."
SEGMENT = "Find nuclei in the chosen part of the slide. The Nuclei layer is replaced."
SAVE_CELLS = "Save outlines and measurements: GeoJSON (QuPath reads it) or Parquet."

PROFILE = "The choice of segmenter, encoder and filter that belong together."
STORE = "The folder that holds the result. What is in it already is not computed again."
PHRASES = "One phrase a line. Patches are kept by how well they fit these."
ANALYSE = "Find tissue, nuclei and the patches worth reading; the layers appear as parts are finished."
OPEN_RESULT = "Open a result that was computed earlier."

ANSWERER = (
    "Measured: facts computed from the result; no model, nothing leaves this machine.\n"
    "Server: a model behind an OpenAI-compatible address, which is sent the picture shown below."
)
ADDRESS = "Such as http://localhost:11434/v1. A key is read from the environment variable HWSI_API_KEY."
TEST = "Ask the server which models it offers."
MODEL = "The model that answers. To read pictures it must be a vision model."
BADGE = "Whether the work is done on this machine (local) or what is asked is sent to another (remote)."
PREVIEW = "Exactly the picture that is sent, with nothing beside it but the question and measured facts."
QUESTION = "Type a question and press Enter. Up brings back the last one. Esc stops."
STOP = "Stop the answer within a second."
CHIP = "Show this place. Resting the pointer on it outlines it."
CLEAR = "Begin a new conversation."
