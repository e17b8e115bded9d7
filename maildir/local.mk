# maildir/: Maildirs as Courier keeps them. Stands on lib/ alone; no protocol word.
noinst_LIBRARIES += maildir/libmaildir.a
maildir_libmaildir_a_SOURCES = \
	maildir/md.c maildir/md.h \
	maildir/md_assign.c \
	maildir/md_box.c maildir/md_box.h maildir/md_box_private.h \
	maildir/md_cache.c maildir/md_cache.h \
	maildir/md_copy.c maildir/md_copy.h \
	maildir/md_deposit.c maildir/md_deposit.h \
	maildir/md_dir.c maildir/md_dir.h \
	maildir/md_hash.c \
	maildir/md_keyword.c maildir/md_keyword.h \
	maildir/md_lock.c maildir/md_lock.h \
	maildir/md_name.c maildir/md_name.h \
	maildir/md_parsed.c maildir/md_parsed.h \
	maildir/md_pop3.c maildir/md_pop3.h maildir/md_pop3_private.h \
	maildir/md_pop3list.c maildir/md_pop3list.h \
	maildir/md_recent.c maildir/md_recent.h \
	maildir/md_save.c maildir/md_save.h \
	maildir/md_scan.c maildir/md_scan.h maildir/md_scan_private.h \
	maildir/md_size.c maildir/md_size.h \
	maildir/md_stamp.c maildir/md_stamp.h \
	maildir/md_state.c maildir/md_state.h \
	maildir/md_subscribe.c maildir/md_subscribe.h \
	maildir/md_track.c maildir/md_track.h \
	maildir/md_tree.c maildir/md_tree.h \
	maildir/md_uidlist.c maildir/md_uidlist.h \
	maildir/md_watch.c maildir/md_watch.h
MAILDIR_LIBS = maildir/libmaildir.a $(LIB_LIBS)
EXTRA_DIST += maildir/README
