# The pool under load while things go wrong; scripts/chaos runs it against an installed build.
EXTRA_DIST += tests/chaos/README tests/chaos/chaos.py tests/chaos/load.py
