# Build rules of scripts/.
