"""Import uploaded zips of labelled images as dataset versions."""
