#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t fill(int file, char *data, size_t limit)
{
    size_t have = 0;
    while (have <= limit) {
        ssize_t got = read(file, data + have, limit + 1 - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) {
            data[have] = '\0';
            return (ssize_t)have;
        }
        have += (size_t)got;
    }
    errno = EFBIG;
    return -1;
}

ssize_t read_whole(const char *path, size_t limit, char **data)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
    if (file < 0)
        return -1;
    struct stat status;
    ssize_t size = -1;
    if (fstat(file, &status) == 0) {
        errno = EINVAL;
        if (S_ISREG(status.st_mode) && (*data = malloc(limit + 2)) != NULL)
            size = fill(file, *data, limit);
    }
    int reason = errno;
    close(file);
    errno = reason;
    return size;
}
