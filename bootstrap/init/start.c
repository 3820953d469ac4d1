/* From init to the application: user, directory, program. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CANNOT_RUN = 126, NOT_FOUND = 127 }; /* as shells and Docker say */
enum { OPEN_FILES = 65536, MOST_OPEN_FILES = 1048576 };

#define CHILD_FATAL(...) (say("fatal: " __VA_ARGS__), _exit(CANNOT_RUN))

static const char *setting(char *const *env, const char *name)
{
    size_t length = strlen(name);
    for (; *env; env++)
        if (!strncmp(*env, name, length) && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

/* Docker creates a missing working directory, owned by root. */
static void enter_directory(const char *directory)
{
    char path[4096];
    size_t length = strlen(directory);
    if (length >= sizeof path)
        CHILD_FATAL("working directory: longer than %zu bytes", sizeof path - 1);
    memcpy(path, directory, length + 1);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0755);
    if (chdir(path) < 0)
        CHILD_FATAL("working directory %s: %s", directory, strerror(errno));
}

static void become(const struct account *account)
{
    for (int file = 0; file <= 2; file++) /* so that /dev/stdout can be opened again by its user */
        if (fchown(file, account->uid, (gid_t)-1) < 0 && errno != EROFS)
            say("console: %s", strerror(errno));
    if (setgroups(account->group_count, account->groups) < 0 || setgid(account->gid) < 0 ||
        setuid(account->uid) < 0)
        CHILD_FATAL("cannot become user %u, group %u: %s", account->uid, account->gid, strerror(errno));
}

/* As execvp, but with the PATH of the new environment. Leaves the last file that was there in `candidate`. */
static int search(const struct process *process, const char *path, char *candidate, size_t room)
{
    int reason = ENOENT;
    for (const char *part = path;; part++) {
        int length = (int)strcspn(part, ":");
        int size = snprintf(candidate, room, "%.*s%s%s", length, part, length ? "/" : "./", process->argv[0]);
        if (size > 0 && (size_t)size < room) {
            execve(candidate, process->argv, process->env);
            if (errno == EACCES)
                reason = EACCES;
            else if ((errno != ENOENT && errno != ENOTDIR) || !access(candidate, F_OK))
                return errno == ENOTDIR ? ENOENT : errno;
        }
        part += length;
        if (!*part)
            break;
    }
    snprintf(candidate, room, "%s", process->argv[0]);
    return reason;
}

static void run(const struct process *process)
{
    char program[4096];
    const char *path = setting(process->env, "PATH");
    int reason;
    if (strchr(process->argv[0], '/')) {
        execve(process->argv[0], process->argv, process->env);
        reason = errno;
        snprintf(program, sizeof program, "%s", process->argv[0]);
    } else {
        reason = search(process, path ? path : DEFAULT_PATH, program, sizeof program);
        if (reason == ENOENT && !strchr(program, '/')) {
            say("fatal: cannot start %s: not found in PATH=%s", program, path ? path : DEFAULT_PATH);
            _exit(NOT_FOUND);
        }
    }
    /* A file that is there and yet "not found" names an interpreter or a loader that is not. */
    int loader = reason == ENOENT && !access(program, F_OK);
    say("fatal: cannot start %s: %s%s", program, strerror(reason),
        loader ? ": its interpreter or loader is missing" : "");
    _exit(reason == ENOENT ? NOT_FOUND : CANNOT_RUN);
}

void start(const struct process *process, const struct account *account)
{
    static char home[sizeof account->home + 8];
    struct rlimit files = {.rlim_cur = OPEN_FILES, .rlim_max = MOST_OPEN_FILES};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(022);
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        say("open files: %s", strerror(errno));
    if (!setting(process->env, "HOME")) {
        snprintf(home, sizeof home, "HOME=%s", account->home);
        process->env[process->envc] = home; /* parse_process left room */
    }
    enter_directory(process->directory);
    become(account);
    run(process);
    _exit(CANNOT_RUN);
}
