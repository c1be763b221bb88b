"""Model catalog: prices, context windows and token counts."""
