/* Notifications to systemd, if it started us; else nothing happens. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "lib/base.h"

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *text);

#endif
