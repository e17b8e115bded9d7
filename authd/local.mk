# Build rules of authd/.
