"""Where series and scores are shown beside the study: TensorBoard, MLflow, Weights & Biases."""
