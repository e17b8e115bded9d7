# Build rules of etc/.

# Samples for the system; what systemd reads goes below the prefix, where it looks by itself for /usr and /usr/local.
ETC_SUBST = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g'
etc/waypost.service: $(srcdir)/etc/waypost.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && $(ETC_SUBST) $(srcdir)/etc/waypost.service.in > $@.tmp && mv $@.tmp $@
systemdunitdir = $(prefix)/lib/systemd/system
nodist_systemdunit_DATA = etc/waypost.service
CLEANFILES += etc/waypost.service
EXTRA_DIST += etc/README etc/waypost.service.in etc/waypost.sysusers etc/waypost.tmpfiles
exampledir = $(docdir)/examples
dist_example_DATA = etc/waypost.conf etc/waypost.fail2ban etc/waypost.logrotate etc/waypost.pam \
	etc/ldap/accounts.ldif etc/ldap/waypost.ldif etc/ldap/waypost.schema etc/sql/mysql.sql etc/sql/postgresql.sql etc/sql/sqlite.sql
# It can be run from there as it is.
dist_example_SCRIPTS = etc/waypost-certificate
# systemd wants these two under other names.
install-data-hook:
	$(MKDIR_P) $(DESTDIR)$(prefix)/lib/sysusers.d $(DESTDIR)$(prefix)/lib/tmpfiles.d
	$(INSTALL_DATA) $(srcdir)/etc/waypost.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/waypost.conf
	$(INSTALL_DATA) $(srcdir)/etc/waypost.tmpfiles $(DESTDIR)$(prefix)/lib/tmpfiles.d/waypost.conf
uninstall-hook:
	rm -f $(DESTDIR)$(prefix)/lib/sysusers.d/waypost.conf $(DESTDIR)$(prefix)/lib/tmpfiles.d/waypost.conf
