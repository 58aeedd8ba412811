/* Preloaded into a server: the model file opens only once the file named by GATE exists. A load as long as a test wants. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

FILE *fopen(const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
    const char *gate = getenv("GATE"), *end = strrchr(path, '.');
    if (gate && end && !strcmp(end, ".gguf"))
        while (access(gate, F_OK)) usleep(10000);
    return real(path, mode);
}
