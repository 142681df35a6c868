// Placeholder so that the empty target builds; goes with its first file.
