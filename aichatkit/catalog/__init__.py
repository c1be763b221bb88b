"""What is known of models: prices, context windows, tokens."""
