"""A model as it is served: preprocessing, forward pass, post-processing, each stage timed; thresholds; a monitor."""

from .boxes import Boxes, clean_boxes, from_centres, suppress
from .monitor import Monitor, Point, Recording, read
from .serve import Answer, Input, Pipeline, StageTimes, scores_of
from .steps import Detection, Prediction, Step, classify, detect, softmax
from .thresholds import Curve, Outcome, Scores, at, best_threshold, curve

__all__ = ["Answer", "Boxes", "Curve", "Detection", "Input", "Monitor", "Outcome", "Pipeline", "Point", "Prediction",
           "Recording", "Scores", "StageTimes", "Step", "at", "best_threshold", "classify", "clean_boxes", "curve",
           "detect", "from_centres", "read", "scores_of", "softmax", "suppress"]
