"""Dataset versions of uploaded zips of labelled images."""
