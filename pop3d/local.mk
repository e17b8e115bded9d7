# Build rules of pop3d/.
