/* USER of a container image to numbers, by Docker's rules: NAME|UID[:GROUP|GID]. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT (4 * 1024 * 1024)

/* Digits only, at most 2^31-1 as in Docker; -1 otherwise. */
static long number(const char *text)
{
    long value = 0;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        value = value * 10 + (*text - '0');
        if (value > 0x7fffffff)
            return -1;
    }
    return value;
}

static int all_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Cut a line at its colons; fields that are not there are empty. */
static void cut(char *line, char **fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fields[i] = line;
        line += strcspn(line, i + 1 < count ? ":" : "");
        if (*line)
            *line++ = '\0';
    }
}

static int load(const char *path, char **text)
{
    if (read_whole(path, FILE_LIMIT, text) >= 0)
        return 0;
    *text = NULL;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0; /* an image without accounts: numbers still work */
    say("%s: %s", path, strerror(errno));
    return -1;
}

/* First line of passwd for the name, or for the number. 1 found, 0 not. Fills name (fresh memory). */
static int search_passwd(char *text, const char *user, struct account *account, char **name)
{
    long wanted = number(user);
    char *fields[7];
    for (char *line; text && (line = strsep(&text, "\n")) != NULL;) {
        cut(line, fields, 7);
        long uid = number(fields[2]), gid = number(fields[3]);
        if (!*fields[0] || uid < 0 || gid < 0)
            continue;
        if (wanted >= 0 ? uid != wanted : strcmp(fields[0], user) != 0)
            continue;
        account->uid = (uid_t)uid;
        account->gid = (gid_t)gid;
        if (*fields[5] && strlen(fields[5]) < sizeof account->home)
            strcpy(account->home, fields[5]);
        *name = fields[0];
        return 1;
    }
    return 0;
}

static int is_member(char *members, const char *name)
{
    for (char *member; (member = strsep(&members, ",")) != NULL;)
        if (!strcmp(member, name))
            return 1;
    return 0;
}

/* An explicit group: by number, or by name in /etc/group. Then there are no supplementary ones. */
static int explicit_group(char *text, const char *group, struct account *account)
{
    long wanted = number(group);
    char *fields[4];
    if (wanted >= 0) {
        account->gid = (gid_t)wanted;
        return 0;
    }
    for (char *line; text && (line = strsep(&text, "\n")) != NULL;) {
        cut(line, fields, 4);
        long gid = number(fields[2]);
        if (gid >= 0 && !strcmp(fields[0], group)) {
            account->gid = (gid_t)gid;
            return 0;
        }
    }
    say("user: group \"%s\" is %s", group, all_digits(group) ? "out of range" : "not in /etc/group");
    return -1;
}

static int member_groups(char *text, const char *name, struct account *account)
{
    char *fields[4];
    for (char *line; text && (line = strsep(&text, "\n")) != NULL;) {
        cut(line, fields, 4);
        long gid = number(fields[2]);
        if (gid < 0 || !is_member(fields[3], name))
            continue;
        if (account->group_count == MAX_GROUPS) {
            say("user: \"%s\" is in more than %d groups", name, MAX_GROUPS - 1);
            return -1;
        }
        account->groups[account->group_count++] = (gid_t)gid;
    }
    return 0;
}

int find_account(const char *user, const char *passwd, const char *group, struct account *account)
{
    char spec[256], *users, *groups, *name = NULL;
    if (strlen(user) >= sizeof spec) {
        say("user: longer than %zu bytes", sizeof spec - 1);
        return -1;
    }
    strcpy(spec, user);
    char *wanted_group = strchr(spec, ':');
    if (wanted_group)
        *wanted_group++ = '\0';
    const char *wanted_user = *spec ? spec : "0";
    memset(account, 0, sizeof *account);
    strcpy(account->home, "/");
    if (load(passwd, &users) < 0 || load(group, &groups) < 0)
        return -1;
    if (!search_passwd(users, wanted_user, account, &name)) {
        if (number(wanted_user) < 0) {
            say("user: \"%s\" is %s", wanted_user, all_digits(wanted_user) ? "out of range" : "not in /etc/passwd");
            return -1;
        }
        account->uid = (uid_t)number(wanted_user);
    }
    account->group_count = 1;
    int answer = 0;
    if (wanted_group && *wanted_group)
        answer = explicit_group(groups, wanted_group, account);
    else if (name)
        answer = member_groups(groups, name, account);
    account->groups[0] = account->gid;
    free(users);
    free(groups);
    return answer;
}
