# maildir/: Maildirs as Courier keeps them. Stands on lib/ alone; no protocol word.
noinst_LIBRARIES += maildir/libmaildir.a
maildir_libmaildir_a_SOURCES = \
	maildir/md.h \
	maildir/md_box.h \
	maildir/md_copy.h \
	maildir/md_lock.h \
	maildir/md_name.h \
	maildir/md_pop3.h \
	maildir/md_save.h \
	maildir/md_subscribe.h \
	maildir/md_tree.h \
	maildir/md_uidlist.h \
	maildir/md_watch.h
MAILDIR_LIBS = maildir/libmaildir.a $(LIB_LIBS)
