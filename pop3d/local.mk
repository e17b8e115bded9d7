# pop3d/: POP3 on both sides of login.
noinst_LIBRARIES += pop3d/libpop3d.a
pop3d_libpop3d_a_SOURCES = \
	pop3d/pop3_peer_login.c \
	pop3d/pop3_capa.c pop3d/pop3_capa.h \
	pop3d/pop3_cmd.c \
	pop3d/pop3_dots.c pop3d/pop3_dots.h \
	pop3d/pop3_line.c pop3d/pop3_line.h \
	pop3d/pop3_login.c pop3d/pop3_login.h \
	pop3d/pop3_session.c pop3d/pop3_session.h \
	pop3d/pop3d.h
EXTRA_DIST += pop3d/README
POP3_LIBS = pop3d/libpop3d.a maildir/libmaildir.a $(NODE_LIBS)

pkglibexec_PROGRAMS += pop3d/pop3d
pop3d_pop3d_SOURCES = pop3d/pop3d_main.c
pop3d_pop3d_LDADD = $(POP3_LIBS)
