"""Lines as a whole: their state, their rates, and where every frame went."""
