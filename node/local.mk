# node/: what the processes of a node share: messages, roles, account and session records.
noinst_LIBRARIES += node/libnode.a
node_libnode_a_SOURCES = \
	node/account.c node/account.h \
	node/forwarded.c node/forwarded.h \
	node/pool_keys.c node/pool_keys.h \
	node/signature_check.c node/signature_check.h \
	node/msg_auth.c node/msg_auth.h \
	node/msg_control.c node/msg_control.h \
	node/key_queue.c node/key_queue.h \
	node/key_use.c node/key_use.h \
	node/msg_key.c node/msg_key.h \
	node/msg_session.c node/msg_session.h \
	node/msg_ticket.c node/msg_ticket.h \
	node/priv.c node/priv.h \
	node/role.c node/role.h \
	node/session.c node/session.h \
	node/session_choice.c node/session_choice.h \
	node/work.c node/work.h \
	node/msg_channel.c node/msg_channel.h
NODE_LIBS = node/libnode.a $(SECCOMP_LIBS) $(SETTINGS_LIBS)
EXTRA_DIST += node/README
