/* Words, the type to build upon: sixteen numbers of 32 bits. */
#ifndef MP_SYNC_NUMBERS_H
#define MP_SYNC_NUMBERS_H

#include "shared.h"

#define WORDS 16

typedef struct {
    Word words[WORDS];
} WordsState;

extern PyTypeObject *words_type;

#endif
