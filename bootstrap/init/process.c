/* Strict reader of the file "process" (docs/spec/process.md). */
#define _GNU_SOURCE
#include "init.h"

#include <stdlib.h>
#include <string.h>

static const char VERSION_LINE[] = "glassclave-process-1\n";
static const char TAGS[] = "aedu"; /* in the order in which they must stand */

static int refuse(size_t offset, const char *what)
{
    say("/process: byte %zu: %s", offset, what);
    return -1;
}

/* Why the value of a record is refused, or NULL. */
static const char *fault(char tag, const char *value, int first)
{
    if (tag == 'a' && first && !*value)
        return "the first argument is empty";
    if (tag == 'e' && (!strchr(value, '=') || *value == '='))
        return "an environment record is not NAME=VALUE";
    if (tag == 'd' && *value != '/')
        return "the working directory is not absolute";
    if (tag == 'u' && !*value)
        return "the user is empty";
    return NULL;
}

static void keep(struct process *process, char tag, char *value)
{
    if (tag == 'a')
        process->argv[process->argc++] = value;
    else if (tag == 'e')
        process->env[process->envc++] = value;
    else if (tag == 'd')
        process->directory = value;
    else
        process->user = value;
}

static int read_record(char *data, size_t size, size_t *at, size_t *stage, struct process *process)
{
    size_t begin = *at;
    char tag = data[begin];
    char *value = data + begin + 1;
    const char *place = tag ? strchr(TAGS, tag) : NULL;
    if (!place)
        return refuse(begin, "unknown tag");
    char *end = memchr(value, '\0', size - begin - 1);
    if (!end)
        return refuse(begin, "the record has no NUL at its end");
    size_t now = (size_t)(place - TAGS);
    if (now < *stage)
        return refuse(begin, "record out of order");
    if ((tag == 'd' && process->directory) || (tag == 'u' && process->user))
        return refuse(begin, "record given twice");
    const char *wrong = fault(tag, value, process->argc == 0);
    if (wrong)
        return refuse(begin, wrong);
    keep(process, tag, value);
    *stage = now;
    *at = (size_t)(end - data) + 1;
    return 0;
}

int parse_process(char *data, size_t size, struct process *process)
{
    size_t at = sizeof VERSION_LINE - 1, stage = 0, records = 0;
    memset(process, 0, sizeof *process);
    if (size < at || memcmp(data, VERSION_LINE, at) != 0)
        return refuse(0, "the file does not begin with the line glassclave-process-1");
    for (size_t i = at; i < size; i++)
        records += data[i] == '\0';
    process->argv = calloc(records + 1, sizeof *process->argv);
    process->env = calloc(records + 2, sizeof *process->env); /* and HOME */
    if (!process->argv || !process->env)
        return refuse(0, "out of memory");
    while (at < size)
        if (read_record(data, size, &at, &stage, process) < 0)
            return -1;
    if (!process->argc)
        return refuse(size, "no argument: nothing to start");
    if (!process->directory)
        return refuse(size, "no working directory");
    if (!process->user)
        return refuse(size, "no user");
    return 0;
}
