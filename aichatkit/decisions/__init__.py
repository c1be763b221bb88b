"""Text and questions -> decisions: typed answers with probabilities, from decision models or from chat models."""
