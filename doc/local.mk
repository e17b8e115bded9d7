# Build rules of doc/.
EXTRA_DIST += doc/README doc/floors.md doc/testing.md doc/chaos.md doc/fuzzing.md doc/performance.md
# The settings refer to it.
dist_doc_DATA += doc/threat-model.md
dist_man_MANS += doc/waypost.conf.5 doc/waypost.1 doc/waypostd.8
dist_man_MANS += doc/userdb.1 doc/userdbpw.1 doc/import-courier.1

# Made from the table of settings and kept in the tree; scripts/check-settings proves them equal to the table, and
# `make update-settings` brings them up to date after a change.
noinst_PROGRAMS += doc/gen-settings
doc_gen_settings_SOURCES = doc/gen-settings.c
doc_gen_settings_LDADD = $(SETTINGS_LIBS)
# Read by import-courier.
dist_pkgdata_DATA += doc/courier-settings.tsv
.PHONY: update-settings
update-settings: doc/gen-settings
	doc/gen-settings sample >$(srcdir)/etc/waypost.conf
	doc/gen-settings man >$(srcdir)/doc/waypost.conf.5
	doc/gen-settings tsv >$(srcdir)/doc/courier-settings.tsv
