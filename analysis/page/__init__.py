"""The page: words, predictions, rendering."""
