# Build rules of doc/.
EXTRA_DIST += doc/floors.md doc/testing.md
dist_man_MANS += doc/waypost.1 doc/waypostd.8
