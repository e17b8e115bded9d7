# Build rules of mime/.
