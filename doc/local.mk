# Build rules of doc/.
EXTRA_DIST += doc/floors.md doc/testing.md
