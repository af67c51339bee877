"""Models: versions, promotions, comparisons and threshold sets."""
