# Build rules of etc/.
