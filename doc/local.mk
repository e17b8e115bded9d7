# Build rules of doc/.
