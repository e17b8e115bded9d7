# imapd/: IMAP on both sides of login.
noinst_LIBRARIES += imapd/libimap.a
imapd_libimap_a_SOURCES = \
	imapd/imap_body.c imapd/imap_body.h \
	imapd/imap_date.c imapd/imap_date.h \
	imapd/imap_lex.c imapd/imap_lex.h \
	imapd/imap_section.c imapd/imap_section.h \
	imapd/imap_text.c imapd/imap_text.h \
	imapd/imap_utf7.c imapd/imap_utf7.h
