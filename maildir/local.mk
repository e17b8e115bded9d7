# Build rules of maildir/.
