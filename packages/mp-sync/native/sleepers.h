/* Sleeping on several words at once. */
#ifndef MP_SYNC_SLEEPERS_H
#define MP_SYNC_SLEEPERS_H

#include "shared.h"

extern PyMethodDef sleeper_functions[];

#endif
