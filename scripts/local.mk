# scripts/: what people run (demo, check) and the checks of the sources.
TESTS += scripts/check-floors scripts/check-banned scripts/check-settings
EXTRA_DIST += scripts/README scripts/check scripts/check-banned scripts/check-floors scripts/check-settings scripts/demo scripts/demo-pool scripts/install-deps
