#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int load(const char *path, struct process *process)
{
    char *data;
    ssize_t size = read_whole(path, PROCESS_LIMIT, &data);
    if (size < 0) {
        say("/process: %s", errno == EFBIG ? "byte 1048576: larger than 1 MiB" : strerror(errno));
        return -1;
    }
    return parse_process(data, (size_t)size, process);
}

/* `init --check FILE` and `init --account USER PASSWD GROUP`, on any Linux: what would be started. */
static int check(int count, char **arguments)
{
    struct process process;
    struct account account;
    if (count == 3 && !strcmp(arguments[1], "--check")) {
        if (load(arguments[2], &process) < 0)
            return 1;
        printf("%zu arguments, %zu settings, directory %s, user %s\n", process.argc, process.envc,
               process.directory, process.user);
        return 0;
    }
    if (count == 5 && !strcmp(arguments[1], "--account")) {
        if (find_account(arguments[2], arguments[3], arguments[4], &account) < 0)
            return 1;
        printf("uid %u gid %u groups", account.uid, account.gid);
        for (size_t i = 0; i < account.group_count; i++)
            printf(" %u", account.groups[i]);
        printf(" home %s\n", account.home);
        return 0;
    }
    say("starts an enclave; elsewhere: init --check FILE | init --account USER PASSWD GROUP");
    return 2;
}

static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } NAMES[] = {{SIGHUP, "HUP"},   {SIGINT, "INT"},   {SIGQUIT, "QUIT"}, {SIGILL, "ILL"},
                 {SIGTRAP, "TRAP"}, {SIGABRT, "ABRT"}, {SIGBUS, "BUS"},   {SIGFPE, "FPE"},
                 {SIGKILL, "KILL"}, {SIGUSR1, "USR1"}, {SIGSEGV, "SEGV"}, {SIGUSR2, "USR2"},
                 {SIGPIPE, "PIPE"}, {SIGALRM, "ALRM"}, {SIGTERM, "TERM"}, {SIGXCPU, "XCPU"},
                 {SIGXFSZ, "XFSZ"}, {SIGSYS, "SYS"}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].number == number)
            return NAMES[i].name;
    return "?";
}

/* Wait for everything that ends below us; the enclave ends with the process it was built for. */
static void reap(pid_t child)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(-1, &status, 0);
        if (ended < 0 && errno != EINTR)
            FATAL("waiting for the process: %s", strerror(errno));
        if (ended == child)
            break;
    }
    if (WIFSIGNALED(status))
        say("process killed by signal %d (%s)", WTERMSIG(status), signal_name(WTERMSIG(status)));
    else
        say("process exited with status %d", WEXITSTATUS(status));
}

int main(int count, char **arguments)
{
    struct process process;
    struct account account;
    if (getpid() != 1)
        return check(count, arguments);
    mount_early();
    use_console();
    look_for_nsm();
    beat();
    if (load("/process", &process) < 0)
        FATAL("nothing is started");
    enter_root();
    mount_all();
    use_console(); /* again: the first one belongs to a /dev that is gone, and would have no name */
    set_up_network();
    if (find_account(process.user, "/etc/passwd", "/etc/group", &account) < 0)
        FATAL("nothing is started");
    pid_t child = fork();
    if (child < 0)
        FATAL("fork: %s", strerror(errno));
    if (child == 0)
        start(&process, &account);
    reap(child);
    end_enclave();
}
