/* SPDX-License-Identifier: MIT */
/* nodeid: taking node ids of image folders apart; see nodeid.h for the map. */
#include "nodeid.h"

#include <string.h>

bool nodeid_parse_part(uint64_t id, enum node_part *ret)
{
    uint32_t index = nodeid_index(id);
    if (nodeid_no(id) == 0 || index < NODEID_PARTS || index >= NODEID_PARTS + PART_COUNT)
        return false;
    *ret = (enum node_part)(index - NODEID_PARTS);
    return true;
}

bool nodeid_parse_link(uint64_t id, uint32_t *ret_k)
{
    uint32_t index = nodeid_index(id);
    if (nodeid_no(id) == 0 || index < NODEID_LINKS || index >= NODEID_PARTS)
        return false;
    *ret_k = index - NODEID_LINKS;
    return true;
}

unsigned nodeid_link_width(uint32_t layer_count)
{
    unsigned width = 1;
    for (uint32_t last = layer_count ? layer_count - 1 : 0; last >= 10; last /= 10)
        width++;
    return width < 3 ? 3 : width;
}

bool nodeid_link_parse(const char *name, uint32_t layer_count, uint32_t *ret_k)
{
    uint64_t k = 0;
    if (strlen(name) != nodeid_link_width(layer_count)) /* at most 10 digits: k can't overflow */
        return false;
    for (const char *p = name; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        k = k * 10 + (uint64_t)(*p - '0');
    }
    if (k >= layer_count)
        return false;
    *ret_k = (uint32_t)k;
    return true;
}
