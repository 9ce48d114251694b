"""The outside oracle: single-operator .tflite models and what TensorFlow Lite Micro answers to them."""
