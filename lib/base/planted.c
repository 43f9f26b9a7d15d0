#include "base/planted.h"

#include <string.h>

enum planted_bug planted_active = PLANTED_NONE;

bool planted_choose(const char *name)
{
    static const char *const names[] = {"",
#define PLANTED_NAME(bug, words) #bug,
                                        PLANTED_BUGS(PLANTED_NAME)
#undef PLANTED_NAME
    };
    for (int i = 1; i < PLANTED_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            planted_active = (enum planted_bug)i;
            return true;
        }
    return false;
}
