# Build rules of authlib/.
