# imapd/: IMAP on both sides of login.
noinst_LIBRARIES += imapd/libimap.a
imapd_libimap_a_SOURCES = \
	imapd/imap_lex.c imapd/imap_lex.h
