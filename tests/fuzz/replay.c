/* SPDX-License-Identifier: MIT */
/*
 * A main for fuzz targets without libFuzzer: runs each file named on the command line (folders: the files in them)
 * through LLVMFuzzerTestOneInput, from memory of exactly its size, so that sanitizers see a read beyond it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int run_file(FILE *f, const char *path)
{
    size_t cap = 1 << 16, n = 0;
    uint8_t *b = malloc(cap);
    while (b) {
        n += fread(b + n, 1, cap - n, f);
        if (n < cap)
            break;
        uint8_t *more = realloc(b, cap * 2);
        if (!more)
            free(b);
        b = more;
        cap *= 2;
    }
    uint8_t *exact = b ? malloc(n ? n : 1) : NULL;
    if (!exact || ferror(f)) {
        fprintf(stderr, "%s: can't be read\n", path);
        free(b);
        free(exact);
        return 1;
    }
    memcpy(exact, b, n);
    free(b);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int run(const char *path, unsigned *ran)
{
    DIR *d = opendir(path);
    if (!d) {
        FILE *f = fopen(path, "rb");
        if (!f) {
            perror(path);
            return 1;
        }
        int rc = run_file(f, path);
        fclose(f);
        ++*ran;
        return rc;
    }
    int rc = 0;
    struct dirent *de;
    while ((de = readdir(d))) {
        char sub[4096];
        if (de->d_name[0] == '.')
            continue;
        if (snprintf(sub, sizeof sub, "%s/%s", path, de->d_name) < (int)sizeof sub)
            rc |= run(sub, ran);
    }
    closedir(d);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned ran = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++)
        rc |= run(argv[i], &ran);
    printf("%u inputs replayed\n", ran);
    return rc;
}
