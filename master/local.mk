# Build rules of master/.
