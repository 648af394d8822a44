"""Face folders, drawn faces, and eyeglass frames."""
