# Build rules of imapd/.
