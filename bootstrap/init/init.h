/* Glassclave's init: the first program of an enclave. See docs/bootstrap.md and docs/spec/process.md. */
#ifndef GLASSCLAVE_INIT_H
#define GLASSCLAVE_INIT_H

#include <stddef.h>
#include <sys/types.h>

#define PROCESS_LIMIT (1024 * 1024) /* bytes of /process, docs/spec/process.md */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What /process says. Strings point into one buffer; argv and env end with NULL. env has room for HOME. */
struct process {
    char **argv;
    char **env;
    size_t argc;
    size_t envc;
    const char *directory;
    const char *user;
};

#define MAX_GROUPS 1024

/* Who the process runs as. groups[0] is gid. */
struct account {
    uid_t uid;
    gid_t gid;
    char home[4096];
    gid_t groups[MAX_GROUPS];
    size_t group_count;
};

/* message.c: one line on the console, "glassclave-init: ", control characters escaped. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void use_console(void);

/* Stop the enclave: flush the console and reset the machine. */
void end_enclave(void) __attribute__((noreturn));
#define FATAL(...) (say("fatal: " __VA_ARGS__), end_enclave())

/* read.c: whole file into fresh memory with a NUL after it. -1 with errno; EFBIG above limit. */
ssize_t read_whole(const char *path, size_t limit, char **data);

/* process.c: 0, or -1 after a message that names the byte offset. */
int parse_process(char *data, size_t size, struct process *process);

/* account.c: 0, or -1 after a message. Docker's rules for USER. */
int find_account(const char *user, const char *passwd, const char *group, struct account *account);

/* system.c: mounts, loopback, root directory. */
void mount_early(void);
void enter_root(void);
void mount_all(void);
void set_up_network(void);

/* parent.c: the heartbeat that the parent instance waits for; the Nitro Secure Module. */
void look_for_nsm(void);
void beat(void);

/* start.c: become the account and exec; only returns by _exit. */
void start(const struct process *process, const struct account *account) __attribute__((noreturn));

#endif
