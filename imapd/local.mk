# imapd/: IMAP on both sides of login.
noinst_LIBRARIES += imapd/libimap.a
imapd_libimap_a_SOURCES = \
	imapd/cmd.h \
	imapd/cmd_append.c \
	imapd/cmd_copy.c \
	imapd/cmd_fetch.c \
	imapd/cmd_folder.c \
	imapd/cmd_idle.c \
	imapd/cmd_list.c \
	imapd/cmd_misc.c \
	imapd/cmd_search.c \
	imapd/cmd_select.c \
	imapd/cmd_store.c \
	imapd/imap_peer_login.c \
	imapd/imap_body.c imapd/imap_body.h \
	imapd/imap_capability.c imapd/imap_capability.h \
	imapd/imap_cmd.c \
	imapd/imap_date.c imapd/imap_date.h \
	imapd/imap_fetch.c imapd/imap_fetch.h \
	imapd/imap_flags.c imapd/imap_flags.h \
	imapd/imap_id.c imapd/imap_id.h \
	imapd/imap_id_list.c imapd/imap_id_list.h \
	imapd/imap_lex.c imapd/imap_lex.h \
	imapd/imap_login.c imapd/imap_login.h \
	imapd/imap_match.c imapd/imap_match.h \
	imapd/imap_msg.c imapd/imap_msg.h \
	imapd/imap_msgs.c imapd/imap_msgs.h \
	imapd/imap_names.c imapd/imap_names.h \
	imapd/imap_read.c \
	imapd/imap_result.c imapd/imap_result.h \
	imapd/imap_search.c imapd/imap_search.h \
	imapd/imap_section.c imapd/imap_section.h \
	imapd/imap_seq.c imapd/imap_seq.h \
	imapd/imap_session.c imapd/imap_session.h \
	imapd/imap_sort.c imapd/imap_sort.h \
	imapd/imap_sync.c imapd/imap_sync.h \
	imapd/imap_text.c imapd/imap_text.h \
	imapd/imap_thread.c imapd/imap_thread.h \
	imapd/imap_utf7.c imapd/imap_utf7.h \
	imapd/imapd.h
EXTRA_DIST += imapd/README
IMAP_LIBS = imapd/libimap.a maildir/libmaildir.a $(MIME_LIBS) $(NODE_LIBS)

pkglibexec_PROGRAMS += imapd/imapd
imapd_imapd_SOURCES = imapd/imapd_main.c
imapd_imapd_LDADD = $(IMAP_LIBS)
