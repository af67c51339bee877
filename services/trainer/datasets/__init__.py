"""Import labelled images as dataset versions, download versions, and split them."""
