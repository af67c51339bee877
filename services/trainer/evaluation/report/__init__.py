"""The report: all that is known of how good a model is, as one page that needs nothing but itself."""
