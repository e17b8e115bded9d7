# Build rules of fuzz/.
