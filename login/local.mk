# Build rules of login/.
