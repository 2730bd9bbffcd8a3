"""What a trained model says of any videos: `Predictor` in Python, and the command `vtn predict`."""

from slowfast_ext.predict.answers import Prediction, WindowScores
from slowfast_ext.predict.explanation import Explanation
from slowfast_ext.predict.predictor import Predictor

__all__ = ["Explanation", "Prediction", "Predictor", "WindowScores"]
