# Build rules of node/.
