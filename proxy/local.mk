# Build rules of proxy/.
